package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// fakeDoor is a scripted server in memory: each connection is given to script,
// one after the other; the last script serves all that follow.
type fakeDoor struct {
	t  *testing.T
	mu sync.Mutex // guards what follows

	scripts []func(*visitor)
	dials   []time.Time
	now     int // connections that are being opened
	most    int // … at once
	busy    sync.WaitGroup
}

// visitor is the server's end of one connection.
type visitor struct {
	t       *testing.T
	door    *fakeDoor
	n       int // of the connection, from 1
	socket  net.Conn
	reader  *bufio.Reader
	request *http.Request
	parser  ws.Parser
	unread  []byte
	plain   bool
	got     int // application messages
	probes  int
	stop    func()     // ends beating
	mu      sync.Mutex // held during a write
}

func (d *fakeDoor) dial(ctx context.Context, network, address string) (net.Conn, error) {
	here, there := sallyporttest.Pipe()
	d.mu.Lock()
	d.dials = append(d.dials, time.Now())
	n := len(d.dials)
	script := d.scripts[min(n, len(d.scripts))-1]
	d.now++
	d.most = max(d.most, d.now)
	d.mu.Unlock()
	d.busy.Go(func() {
		defer there.Close()
		v := &visitor{t: d.t, door: d, n: n, socket: there, reader: bufio.NewReader(there), parser: ws.Parser{Role: ws.Server, MaxMessage: 1 << 30, MaxFragments: -1}}
		var err error
		if v.request, err = http.ReadRequest(v.reader); err == nil {
			script(v)
		}
		if v.stop != nil {
			v.stop()
		}
	})
	return here, nil
}

func (d *fakeDoor) opened() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now--
}

func (d *fakeDoor) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.dials)
}

// offered are the subprotocols of the handshake.
func (v *visitor) offered() []string {
	var list []string
	for _, p := range strings.Split(v.request.Header.Get("Sec-WebSocket-Protocol"), ",") {
		if p = strings.TrimSpace(p); p != "" {
			list = append(list, p)
		}
	}
	return list
}

// upgrade answers the handshake with 101 and what follows at once.
func (v *visitor) upgrade(protocol string, more ...byte) {
	v.door.opened()
	offer, err := ws.CheckUpgrade(v.request)
	if err != nil {
		v.t.Errorf("handshake: %v", err)
	}
	v.plain = !strings.HasPrefix(protocol, channel)
	v.raw(append(ws.AppendResponse(nil, offer, protocol, nil), more...))
}

// answer refuses with an HTTP status.
func (v *visitor) answer(status int, header, body string) {
	v.door.opened()
	v.raw(fmt.Appendf(nil, "HTTP/1.1 %d Refused\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), header, body))
}

// helloFrame is what a door says first.
func helloFrame(members string) []byte {
	return controlOf(`{"t":"hello","id":"c0ffee","beat":25,"idle":60,"ends_in":86400,"max_message":65536` + members + `}`)
}

func controlOf(text string) []byte {
	return ws.AppendFrame(nil, ws.Server, true, ws.Text, append([]byte{markCtl}, text...))
}

// welcome opens the channel.
func (v *visitor) welcome(members string) {
	v.upgrade(channel, helloFrame(members)...)
}

// refuse closes at once, as a door does.
func (v *visitor) refuse(code uint16, reason string) {
	dotted := reason[strings.IndexByte(reason, ';')+1:]
	v.upgrade(channel, ws.AppendClose(controlOf(fmt.Sprintf(`{"t":"close","code":%q,"got":0}`, dotted)), ws.Server, code, reason)...)
}

func (v *visitor) raw(b []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.socket.Write(b)
}

// beating keeps a connection alive until the script has ended.
func (v *visitor) beating() {
	stop := make(chan struct{})
	v.stop = func() { close(stop) }
	v.door.busy.Go(func() {
		for {
			select {
			case <-time.After(20 * time.Second):
				v.control(`{"t":"beat","got":0}`) // a count never goes back
			case <-stop:
				return
			}
		}
	})
}

func (v *visitor) control(text string) { v.raw(controlOf(text)) }

func (v *visitor) beat() { v.control(fmt.Sprintf(`{"t":"beat","got":%d}`, v.got)) }

func (v *visitor) send(op ws.Opcode, data string) {
	if !v.plain {
		data = "\x00" + data
	}
	v.raw(ws.AppendFrame(nil, ws.Server, true, op, []byte(data)))
}

func (v *visitor) close(code uint16, text string) {
	v.raw(ws.AppendClose(nil, ws.Server, code, text))
}

// end announces a close and closes.
func (v *visitor) end(members string, code uint16, text string) {
	dotted := text[strings.IndexByte(text, ';')+1:]
	v.control(fmt.Sprintf(`{"t":"close","code":%q,"got":%d%s}`, dotted, v.got, members))
	v.close(code, text)
}

// receive waits for a message or close frame. It counts application messages and
// answers pings.
func (v *visitor) receive() (op ws.Opcode, data string, err error) {
	var whole []byte
	for {
		for len(v.unread) > 0 {
			ev, n, err := v.parser.Next(v.unread)
			v.unread = v.unread[n:]
			switch {
			case err != nil:
				v.t.Errorf("the client broke the protocol: %v", err)
				return 0, "", err
			case ev.Kind == ws.CloseEvent:
				return ws.Close, fmt.Sprintf("%d %s", ev.Code, ev.Data), nil
			case ev.Kind == ws.PingEvent:
				return ws.Ping, string(ev.Data), nil
			case ev.Kind == ws.Data:
				whole = append(whole, ev.Data...)
				if ev.Last {
					if !v.plain && whole[0] == markApp {
						v.got++
					}
					return ev.Op, string(whole), nil
				}
			}
		}
		buf := make([]byte, 32<<10)
		n, err := v.reader.Read(buf)
		if n == 0 && err != nil {
			return 0, "", err
		}
		v.unread = buf[:n]
	}
}

// serve answers probes, and application messages with echo if set, until the
// connection ends; it says goodbye too.
func (v *visitor) serve(each func(op ws.Opcode, data string)) {
	for {
		op, data, err := v.receive()
		switch {
		case err != nil:
			return
		case op == ws.Close:
			var code uint16
			fmt.Sscanf(data, "%d", &code)
			v.close(code, "")
			return
		case op == ws.Ping:
			v.raw(ws.AppendFrame(nil, ws.Server, true, ws.Pong, []byte(data)))
			continue
		case !v.plain && strings.HasPrefix(data, "\x01"):
			var m struct{ T string }
			json.Unmarshal([]byte(data[1:]), &m)
			if m.T == "probe" {
				v.probes++
				v.beat()
				continue
			}
		}
		if each != nil {
			each(op, data)
		}
	}
}

// drop waits for the socket to end, without a word.
func (v *visitor) drop() { io.Copy(io.Discard, v.reader) }

// bubble runs f with a fake door, in a bubble of synctest.
func bubble(t *testing.T, f func(t *testing.T, d *fakeDoor, o Options), scripts ...func(*visitor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDoor{t: t, scripts: scripts}
		f(t, d, Options{NetDial: d.dial, DangerouslyAllowPlaintext: "a test in memory"})
		d.busy.Wait()
	})
}

const testURL = "ws://door.example.com/chat?room=1"

func (d *fakeDoor) connect(o Options) *Conn {
	d.t.Helper()
	c, err := Dial(d.t.Context(), testURL, &o)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func closeConn(t *testing.T, c *Conn) {
	t.Helper()
	if err := c.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
}

func text(s string) Message { return Message{Kind: Text, Data: []byte(s)} }

func receive(t *testing.T, from interface {
	Receive(context.Context) (Message, error)
}) string {
	t.Helper()
	m, err := from.Receive(t.Context())
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return string(m.Data)
}

func echo(v *visitor) {
	v.welcome("")
	v.beating()
	v.serve(func(op ws.Opcode, data string) { v.send(op, data[1:]) })
}
