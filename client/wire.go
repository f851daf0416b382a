package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/strictjson"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// The control channel sallyport.v1 (spec/protocol.md) from the client's side.
const (
	channel    = "sallyport.v1"
	neutral    = "sallyport"
	markApp    = 0       // the first byte of an application message
	markCtl    = 1       // … of a control message
	maxControl = 4 << 10 // bytes of a control message towards the client, with its mark
)

// marks makes the link put the byte before what the application sends.
var marks = &link.Marks{App: []byte{markApp}}

// offer is what a client puts into Sec-WebSocket-Protocol besides its ticket.
// Sealed, it is nothing else.
func offer(apps []string, plain, sealed bool) ([]string, error) {
	var list []string
	for i, app := range apps {
		switch {
		case strings.HasPrefix(app, neutral):
			return nil, fmt.Errorf("protocol %q: names that begin with %q are not the application's", app, neutral)
		case app == "" || strings.ContainsFunc(app, noToken):
			return nil, fmt.Errorf("protocol %q is not a token", app)
		case contains(apps[:i], app):
			return nil, fmt.Errorf("protocol %q is listed twice", app)
		case sealed:
			list = append(list, seal.SealToken(app))
		case plain:
			list = append(list, app)
		default:
			list = append(list, channel+"~"+app)
		}
	}
	switch {
	case sealed && len(list) > 0:
	case sealed:
		list = append(list, seal.SealToken(""))
	case !plain:
		list = append(list, channel)
	case len(list) == 0:
		list = append(list, neutral)
	}
	return list, nil
}

func contains(list []string, s string) bool {
	for _, other := range list {
		if other == s {
			return true
		}
	}
	return false
}

// noToken is for what RFC 9110, section 5.6.2, keeps out of a token.
func noToken(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
}

// selected splits what a server selected: whether the channel is spoken, and the
// application's subprotocol.
func selected(token string) (speaks bool, app string) {
	if seal.IsSealToken(token) {
		app, _ = strings.CutPrefix(token, seal.SealToken(""))
		return true, strings.TrimPrefix(app, "~")
	}
	app, speaks = strings.CutPrefix(token, channel+"~")
	switch {
	case speaks:
		return true, app
	case token == channel:
		return true, ""
	case token == neutral:
		return false, ""
	}
	return false, token
}

// Control messages of the door. Types that are not known are nil.
type (
	// Limits are what the door told about a connection when it began. Rates that
	// it did not tell are 0.
	Limits struct {
		ID                string        // the connection's name in the door's logs
		Beat              time.Duration // the door is never silent for longer
		Idle              time.Duration // without an application message, the connection ends with guard.idle
		IdleClient        bool          // Idle counts messages of the client alone
		Expires           time.Duration // then the credential ends, unless renewed; 0: it has no end
		Ends              time.Duration // the longest life of the connection
		MaxMessage        int64         // bytes of the largest message accepted
		MessagesPerSecond float64
		BytesPerSecond    float64
	}
	beat    struct{ got int64 }
	renewed struct{ expires time.Duration } // 0: no end
	refused struct{ code string }
	drain   struct{ spread, deadline time.Duration }
	long    struct{}
	closing struct {
		code       string
		got        int64
		retryAfter time.Duration
	}
)

// maxWait bounds every time that a server tells us to wait.
const maxWait = time.Hour

// parseControl reads a control message of the door, without its mark.
func parseControl(data []byte) (any, error) {
	if len(data)+1 > maxControl {
		return nil, errors.New("a control message of more than 4 KiB")
	}
	object, err := strictjson.Object(data)
	if err != nil {
		return nil, err
	}
	m := members{object: object}
	var message any
	switch kind := m.text("t"); kind {
	case "hello":
		message = Limits{
			ID: m.text("id"), Beat: m.seconds("beat"), Idle: m.seconds("idle"), IdleClient: m.textIf("idle_counts") == "client",
			Expires: m.lifetime("expires_in"), Ends: m.seconds("ends_in"), MaxMessage: m.count("max_message"),
			MessagesPerSecond: m.numberIf("messages_per_second"), BytesPerSecond: m.numberIf("bytes_per_second"),
		}
	case "beat":
		message = beat{m.count("got")}
	case "renewed":
		message = renewed{m.lifetime("expires_in")}
	case "renew-refused":
		message = refused{m.text("code")}
	case "drain":
		message = drain{m.seconds("spread"), m.seconds("deadline")}
	case "long":
		message = long{}
	case "close":
		message = closing{m.text("code"), m.count("got"), min(seconds(m.numberIf("retry_after")), maxWait)}
	}
	return message, m.err
}

// members reads the members of an object and remembers the first mistake.
type members struct {
	object map[string]json.RawMessage
	err    error
}

func (m *members) read(name string, into any) {
	if raw := m.object[name]; m.err == nil && (string(raw) == "null" || json.Unmarshal(raw, into) != nil) {
		m.err = fmt.Errorf("member %q is missing or of the wrong kind", name)
	}
}

func (m *members) has(name string) bool { _, ok := m.object[name]; return ok }

func (m *members) text(name string) (s string) {
	if m.read(name, &s); m.err == nil && s == "" {
		m.err = fmt.Errorf("member %q is empty", name)
	}
	return s
}

func (m *members) textIf(name string) (s string) {
	if m.has(name) {
		m.read(name, &s)
	}
	return s
}

func (m *members) number(name string) (n float64) {
	if m.read(name, &n); m.err == nil && n < 0 {
		m.err = fmt.Errorf("member %q is negative", name)
	}
	return n
}

func (m *members) numberIf(name string) float64 {
	if !m.has(name) {
		return 0
	}
	return m.number(name)
}

// count is a whole number that a float64 holds exactly, as JavaScript's would.
func (m *members) count(name string) int64 {
	n := m.number(name)
	if m.err == nil && (n != math.Trunc(n) || n > 1<<53) {
		m.err = fmt.Errorf("member %q is not a count", name)
	}
	return int64(min(n, 1<<53))
}

func (m *members) seconds(name string) time.Duration { return seconds(m.number(name)) }

// lifetime is what is left of something that may have no end, which is 0. What
// has just ended has a nanosecond left.
func (m *members) lifetime(name string) time.Duration {
	if !m.has(name) {
		return 0
	}
	return max(m.seconds(name), 1)
}

// seconds is n seconds; more than a century is one.
func seconds(n float64) time.Duration {
	return time.Duration(min(n, 100*365*24*3600) * float64(time.Second))
}

// controlFrame is a control message as the client sends it.
func controlFrame(message map[string]string) []byte {
	data, err := json.Marshal(message)
	if err != nil {
		panic("client: " + err.Error()) // strings always can be written
	}
	return ws.AppendFrame(nil, ws.Client, true, ws.Text, append([]byte{markCtl}, data...))
}
