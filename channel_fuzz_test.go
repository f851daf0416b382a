package sallyport_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/strictjson"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// FuzzChannel_SR71_AT56: whatever a client sends as one message, in as many frames
// as it likes, is the application's without its first byte, or is acted on, or is
// ignored, or ends the connection; and never two of these.
func FuzzChannel_SR71_AT56(f *testing.F) {
	for _, payload := range []string{
		"", "\x00", "\x00\x01", "\x02{}", "\x01", "\x01{}", "\x01" + `{"t":"probe"}`, "\x01" + `{"t":"probe","t":"renew"}`, "\x01" + `{"t":null}`,
		"\x01" + `{"t":"renew","token":"ada;1h"}`, "\x01" + `{"t":"renew","token":"eve"}`, "\x01" + `{"t":"renew","ticket":"sallyport.ticket.x"}`,
		"\x01" + `{"t":"renew","ticket":"a","token":"b"}`, "\x01" + `{"t":"renew"}`, "\x01" + `{"t":"renew","token":"a b"}`, "\x01" + `{"t":"renew","token":7}`,
		"\x01" + `{"t":"tea","x":[[[]]]}`, "\x01" + `{"t":"\u0000"}`, "\x01" + `{"T":"probe"}`, "\x00\xff",
	} {
		f.Add([]byte(payload), true, uint8(1))
		f.Add([]byte(payload), false, uint8(3))
	}
	f.Fuzz(func(t *testing.T, payload []byte, text bool, pieces uint8) {
		if len(payload) > 20<<10 {
			return
		}
		op := ws.Binary
		if text {
			op = ws.Text
		}
		limits := &guard.Config{MaxMessage: 1000}
		bubble(t, func(c *sallyport.Config) { c.Gates[0].Guard = limits }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
			c, _ := speak(t, s, withChannel("ada;30m"))
			c.Raw(inFrames(op, payload, int(pieces)))
			is, ends := expected(payload, text)
			if len(ends) > 0 {
				c.until("close")
				m, err := c.Receive()
				if r, _ := deny.Parse(string(m.Data)); err != nil || m.Code != r.Close() || !slices.Contains(ends, r) {
					t.Fatalf("ended with %v, %v, want one of %v", m, err, ends)
				}
				c.WantEnd()
				return
			}
			switch is {
			case "application":
				m, err := c.Receive()
				if err != nil || m.Op != op || !bytes.Equal(m.Data, payload) {
					t.Fatalf("came back as %v, %v", m, err)
				}
			case "ignored":
			case "probe":
				c.control("beat")
			case "renew":
				switch m, err := c.Receive(); {
				case err != nil:
					t.Fatal(err)
				case bytes.Contains(m.Data, []byte(`"t":"close"`)): // as somebody else
					wantReason(t, c.Client, deny.AuthInvalid)
					return
				case !bytes.Contains(m.Data, []byte(`"t":"renewed"`)) && !bytes.Contains(m.Data, []byte(`"t":"renew-refused"`)):
					t.Fatalf("answered with %q", m.Data)
				}
			}
			c.text("?")
			c.wantText("?")
		})
	})
}

// expected is what sections 2 and 3 of spec/protocol.md say of a message, or the
// reasons for which it may end the connection: that of the first byte of a frame
// which is at fault.
func expected(payload []byte, text bool) (is string, ends []deny.Reason) {
	if text && !utf8.Valid(payload) {
		ends = append(ends, deny.WSUTF8)
	}
	app := len(payload) > 0 && payload[0] == 0
	if app && len(payload) > 1001 || len(payload) > 16<<10+1 {
		ends = append(ends, deny.GuardTooBig)
	}
	if !app {
		if is = command(payload, text); is == "" {
			ends = append(ends, deny.ControlMalformed)
		}
		return is, ends
	}
	return "application", ends
}

// command is what a control message is; empty for none.
func command(payload []byte, text bool) string {
	if len(payload) == 0 || payload[0] != 1 || !text {
		return ""
	}
	members, err := strictjson.Object(payload[1:])
	name := member(members, "t")
	switch {
	case err != nil || name == nil:
		return ""
	case *name == "probe":
		return "probe"
	case *name != "renew":
		return "ignored"
	case (members["token"] == nil) == (members["ticket"] == nil):
		return ""
	}
	credential := member(members, "token")
	if members["token"] == nil {
		credential = member(members, "ticket")
	}
	if credential == nil || *credential == "" || strings.ContainsFunc(*credential, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return ""
	}
	return "renew"
}

// member is a string; nil if there is none.
func member(members map[string]json.RawMessage, name string) (s *string) {
	if json.Unmarshal(members[name], &s) != nil {
		return nil
	}
	return s
}
