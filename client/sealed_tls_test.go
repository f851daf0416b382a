package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/route/proxy"
	"github.com/sallyport/sallyport/seal"
)

// serveSealed stands for a server behind TLS whose gate wants the seal. pin is its
// identity, which clients got another way.
func serveSealed(route sallyport.Route) (url, pin string, o client.Options, stop func()) {
	public, identity, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	host := server.Listener.Addr().String()
	now := time.Now()
	key, err := seal.GenerateKey(seal.Hybrid, now, now.Add(24*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		log.Fatal(err)
	}
	document, err := seal.Document{
		Authority: host, Generation: 1, Issued: now, Expires: now.Add(24 * time.Hour), Keys: []seal.Entry{key.Entry()},
	}.Sign(identity)
	if err != nil {
		log.Fatal(err)
	}
	door, err := sallyport.New(sallyport.Config{
		Origin:  origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"127.0.0.1"}, Without: origin.AllowBearer},
		Auth:    auth.First(keyed{}),
		Sealing: &sallyport.Sealing{Ring: ring, Document: document},
		Gates:   []sallyport.Gate{{Path: "/chat", Route: route, Seal: sallyport.SealRequired}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = door
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	o = client.Options{
		TLS: &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs},
	}
	return "wss://" + host + "/chat", seal.PinOf(public).String(), o, func() {
		door.Drain(context.Background())
		server.Close()
	}
}

// A client that knows the identity of its server talks past whoever ends TLS in
// between.
func ExampleSeal() {
	url, pin, o, stop := serveSealed(echo)
	defer stop()
	_, device, err := ed25519.GenerateKey(rand.Reader) // made once, and kept; tokens name its thumbprint
	if err != nil {
		log.Fatal(err)
	}

	o.Token = func(context.Context, client.Why) (string, error) { return "ada@key", nil }
	o.Seal = &client.Seal{Pins: []string{pin}, Device: device}
	c, err := client.Dial(context.Background(), url, &o)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.Send(context.Background(), client.Message{Kind: client.Text, Data: []byte("hello")}); err != nil {
		log.Fatal(err)
	}
	m, err := c.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, sealed: %t\n", m.Data, c.Sealed())

	o.Seal = &client.Seal{Pins: []string{"sp1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}
	_, err = client.Dial(context.Background(), url, &o)
	fmt.Println("to another identity:", seal.FaultOf(err))
	// Output:
	// hello, sealed: true
	// to another identity: local.pin
}

// backend is a WebSocket server that knows nothing of a door: it sends everything
// back, and the head of its handshake before.
func backend(w http.ResponseWriter, r *http.Request) {
	offer, err := ws.CheckUpgrade(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	socket, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer socket.Close()
	protocol := ""
	if len(offer.Protocols) > 0 {
		protocol = offer.Protocols[0]
	}
	var head bytes.Buffer
	r.Header.Write(&head)
	socket.Write(ws.AppendFrame(ws.AppendResponse(nil, offer, protocol, nil), ws.Server, true, ws.Text, head.Bytes()))
	parser := ws.Parser{Role: ws.Server, MaxMessage: 1 << 20}
	var whole, unread []byte
	for buf := make([]byte, 32<<10); ; {
		n, err := socket.Read(buf)
		if err != nil {
			return
		}
		for unread = append(unread, buf[:n]...); len(unread) > 0; {
			ev, used, err := parser.Next(unread)
			unread = unread[used:]
			switch {
			case err != nil:
				return
			case ev.Kind == ws.CloseEvent:
				socket.Write(ws.AppendClose(nil, ws.Server, ev.Code, ""))
				return
			case ev.Kind == ws.Data:
				if whole = append(whole, ev.Data...); ev.Last {
					socket.Write(ws.AppendFrame(nil, ws.Server, true, ev.Op, whole))
					whole = nil
				}
			}
		}
	}
}

// TestSealedThroughTheProxy: sealed to the door, over TLS and TCP, to a backend
// that was not changed and sees neither seal nor credential.
func TestSealedThroughTheProxy(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(backend))
	defer behind.Close()
	route, err := proxy.New(proxy.Config{To: "ws" + strings.TrimPrefix(behind.URL, "http")})
	if err != nil {
		t.Fatal(err)
	}
	url, pin, o, stop := serveSealed(route)
	defer stop()
	_, device, _ := ed25519.GenerateKey(rand.Reader)
	o.Token = func(context.Context, client.Why) (string, error) { return "ada@key", nil }
	o.Seal = &client.Seal{Pins: []string{pin}, Device: device}
	o.Protocols = []string{"chat"}

	c, err := client.Dial(t.Context(), url+"?room=1", &o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Receive(t.Context())
	head := string(m.Data)
	if err != nil || !strings.Contains(head, "Sec-Websocket-Protocol: chat\r\n") || strings.Contains(head, "seal") || strings.Contains(head, "ada") {
		t.Errorf("the backend was shown %q, %v", head, err)
	}
	for _, want := range []string{"hello", strings.Repeat("grüße ", 8000)} {
		if err := c.Send(t.Context(), text(want)); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Receive(t.Context()); err != nil || string(m.Data) != want {
			t.Fatalf("got %.20q, %v", m.Data, err)
		}
	}
	closeAll(t, c)

	kept := newSealedClient(t, url, o)
	exchangeAfterHead(t, kept)
	stream, err := client.Dial(t.Context(), url, &o)
	if err != nil {
		t.Fatal(err)
	}
	s := client.NetConn(t.Context(), stream, client.Text)
	s.Write([]byte("line\n"))
	got, want := "", "line\n"
	for buf := make([]byte, 4<<10); !strings.HasSuffix(got, want); {
		n, err := s.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += string(buf[:n])
	}
	s.Close()
	closeAll(t, kept)
}

func newSealedClient(t *testing.T, url string, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func exchangeAfterHead(t *testing.T, c *client.Client) {
	t.Helper()
	if err := c.Send(t.Context(), text("x")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Sec-Websocket", "x"} {
		if m, err := c.Receive(t.Context()); err != nil || !strings.Contains(string(m.Data), want) {
			t.Fatalf("got %q, %v, want %q", m.Data, err, want)
		}
	}
}
