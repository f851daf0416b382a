package client

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

func vectors(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../spec/vectors/protocol/" + name)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOffer(t *testing.T) {
	var file struct {
		Doors []struct {
			Name, Selected, Shown string
			Speaks                bool
		}
		Clients []struct {
			Name, Ticket, Error string
			Apps, Offer         []string
		}
	}
	vectors(t, "selection.json", &file)
	for _, v := range file.Clients {
		t.Run(v.Name, func(t *testing.T) {
			got, err := offer(v.Apps, false, false)
			if v.Error != "" {
				if err == nil {
					t.Errorf("got %q, want an error", got)
				}
				return
			}
			if v.Ticket != "" {
				got = append([]string{v.Ticket}, got...)
			}
			if err != nil || !slices.Equal(got, v.Offer) {
				t.Errorf("got %q, %v, want %q", got, err, v.Offer)
			}
		})
	}
	for _, v := range file.Doors {
		t.Run("selected/"+v.Name, func(t *testing.T) {
			if speaks, app := selected(v.Selected); speaks != v.Speaks || app != v.Shown {
				t.Errorf("of %q got %t, %q, want %t, %q", v.Selected, speaks, app, v.Speaks, v.Shown)
			}
		})
	}
	if len(file.Clients) < 5 || len(file.Doors) < 10 {
		t.Error("there are hardly any vectors")
	}
}

type messageVector struct {
	Name, To, Type, Payload, Is, Data string
	Control                           map[string]any
	Strict                            bool
}

func messageVectors(t testing.TB) (list []messageVector) {
	var file struct{ Cases []messageVector }
	vectors(t, "messages.json", &file)
	for _, v := range file.Cases {
		if v.To == "client" {
			list = append(list, v)
		}
	}
	if len(list) < 20 {
		t.Fatal("there are hardly any vectors")
	}
	return list
}

// TestMessages_vectors sends every message of the vectors over a connection, in
// one frame and byte by byte.
func TestMessages_vectors(t *testing.T) {
	for _, v := range messageVectors(t) {
		if got, _ := v.Control["got"].(float64); got > 0 {
			continue // nothing was sent that could have been counted: TestParseControl has these
		}
		payload, err := hex.DecodeString(v.Payload)
		if err != nil {
			t.Fatal(err)
		}
		op := ws.Text
		if v.Type == "binary" {
			op = ws.Binary
		}
		frames := map[string][]byte{"in one": ws.AppendFrame(nil, ws.Server, true, op, payload)}
		if len(payload) > 1 && len(payload) < 100 {
			var pieces []byte
			for i, b := range payload {
				pieces = ws.AppendFrame(pieces, ws.Server, i == len(payload)-1, op, []byte{b})
				op = ws.Continuation
			}
			frames["in pieces"] = pieces
		}
		for how, frame := range frames {
			t.Run(v.Name+"/"+how, func(t *testing.T) { vectorMessage(t, v, frame) })
		}
	}
}

func vectorMessage(t *testing.T, v messageVector, frame []byte) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		m, err := c.Receive(t.Context())
		end, ended := errors.AsType[*CloseError](err)
		switch v.Is {
		case "application":
			want, _ := hex.DecodeString(v.Data)
			if err != nil || !bytes.Equal(m.Data, want) || m.Kind.String() != v.Type {
				t.Errorf("got %s %x, %v, want %s %x", m.Kind, m.Data, err, v.Type, want)
			}
		case "fault":
			if !ended || end.Code != CodeProtocol || !end.Local {
				t.Errorf("got %q, %v, want a fault", m.Data, err)
			}
		default:
			if err != nil || string(m.Data) != "after" {
				t.Errorf("got %q, %v, want what comes after", m.Data, err)
			}
		}
		closeConn(t, c)
	}, func(door *visitor) {
		if v.Control["t"] == "hello" { // only the first may be one
			door.upgrade(channel, frame...)
		} else {
			door.welcome("")
			door.raw(frame)
		}
		door.send(ws.Text, "after")
		door.serve(nil)
	})
}

func TestParseControl(t *testing.T) {
	want := map[string]any{
		"hello": Limits{ID: "6f1c2a", Beat: 25 * time.Second, Idle: time.Minute, Expires: 287500 * time.Millisecond, Ends: 24 * time.Hour,
			MaxMessage: 65536, MessagesPerSecond: 50, BytesPerSecond: 262144},
		"hello without what may lack":          Limits{ID: "a", Beat: 25 * time.Second, Idle: time.Minute, Ends: 24 * time.Hour, MaxMessage: 65536},
		"hello, idle counts the client only":   Limits{ID: "a", Beat: 25 * time.Second, Idle: time.Minute, IdleClient: true, Ends: 24 * time.Hour, MaxMessage: 65536},
		"beat":                                 beat{12},
		"renewed":                              renewed{300 * time.Second},
		"renewed without an end":               renewed{},
		"renew refused":                        refused{"auth.expired"},
		"drain":                                drain{15 * time.Second, 20500 * time.Millisecond},
		"long":                                 long{},
		"close":                                closing{"drain", 40, 2500 * time.Millisecond},
		"close for a reason that is not known": closing{"moon.full", 0, 0},
	}
	for _, v := range messageVectors(t) {
		payload, _ := hex.DecodeString(v.Payload)
		if v.Type != "text" || len(payload) == 0 || payload[0] != markCtl {
			continue
		}
		got, err := parseControl(payload[1:])
		switch v.Is {
		case "control":
			if want[v.Name] == nil || got != want[v.Name] || err != nil {
				t.Errorf("%s: got %+v, %v, want %+v", v.Name, got, err, want[v.Name])
			}
			delete(want, v.Name)
		case "ignored":
			if got != nil || err != nil {
				t.Errorf("%s: got %+v, %v", v.Name, got, err)
			}
		case "fault":
			if err == nil {
				t.Errorf("%s: got %+v", v.Name, got)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("the vectors lack %v", want)
	}
}

func TestClose_vectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Reason string
			Code         uint16
			Announced    *string
			Ours         bool
			ReasonCode   string `json:"reason_code"`
			Client       deny.Client
		}
	}
	vectors(t, "close.json", &file)
	if len(file.Cases) < 10 {
		t.Fatal("there are hardly any vectors")
	}
	for _, v := range file.Cases {
		var announced *closing
		if v.Announced != nil {
			announced = &closing{code: *v.Announced}
		}
		e := closedBy(v.Code, v.Reason, announced)
		if client, ours := e.Client(); ours != v.Ours || client != v.Client || e.Door != v.ReasonCode {
			t.Errorf("%s: got %t, %q, %q, want %t, %q, %q", v.Name, ours, e.Door, client, v.Ours, v.ReasonCode, v.Client)
		}
	}
}

// FuzzParseControl_AT99: whatever a server says is refused or within bounds.
func FuzzParseControl_AT99(f *testing.F) {
	for _, v := range messageVectors(f) {
		if payload, _ := hex.DecodeString(v.Payload); len(payload) > 0 && len(payload) < 500 {
			f.Add(payload[1:])
		}
	}
	f.Add([]byte(`{"t":"hello","id":"a","beat":1e300,"idle":0.0001,"ends_in":1e-9,"max_message":9007199254740992}`))
	f.Add([]byte(`{"t":"close","code":"__proto__","got":1e15,"retry_after":1e308}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		message, err := parseControl(data)
		if err != nil {
			return
		}
		if !json.Valid(data) || len(data) >= maxControl {
			t.Fatalf("%q was taken", data)
		}
		var times []time.Duration
		var counts []int64
		switch m := message.(type) {
		case Limits:
			times, counts = []time.Duration{m.Beat, m.Idle, m.Expires, m.Ends}, []int64{m.MaxMessage}
			if m.ID == "" || math.IsNaN(m.BytesPerSecond) || m.BytesPerSecond < 0 || m.MessagesPerSecond < 0 {
				t.Fatalf("%q gave %+v", data, m)
			}
		case beat:
			counts = []int64{m.got}
		case renewed:
			times = []time.Duration{m.expires}
		case drain:
			times = []time.Duration{m.spread, m.deadline}
		case closing:
			counts = []int64{m.got}
			if times = []time.Duration{m.retryAfter}; m.retryAfter > maxWait || m.code == "" {
				t.Fatalf("%q gave %+v", data, m)
			}
		}
		for _, d := range times {
			if d < 0 || d > 101*365*24*time.Hour {
				t.Fatalf("%q gave %s", data, d)
			}
		}
		for _, n := range counts {
			if n < 0 || n > 1<<53 {
				t.Fatalf("%q gave %d", data, n)
			}
		}
	})
}

// FuzzAnswer_AT99: the head of an answer is refused, incomplete, or read whole.
func FuzzAnswer_AT99(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00"))
	f.Add([]byte("HTTP/1.1 103 X\r\n\r\nHTTP/1.1 401 X\r\nContent-Length: 24\r\n\r\n{\"error\":\"auth.missing\"}"))
	f.Add([]byte("HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\nRetry-After: 3\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, early, err := readAnswer(strings.NewReader(string(data)))
		if err == nil && (answer.StatusCode != 101 || !bytes.HasSuffix(data, early)) {
			t.Fatalf("got %d and %q", answer.StatusCode, early)
		}
		if refused, ok := errors.AsType[*RefusedError](err); ok && (refused.RetryAfter < 0 || refused.RetryAfter > maxWait || len(refused.Code) > 64) {
			t.Fatalf("got %+v", refused)
		}
	})
}
