//go:build ignore

// Command peer is the door itself, sealed, for the tests of sallyport/crypto: go run main.go.
//
// The first line of its output is JSON: where it listens, without and with TLS, and the pin. Gates: /required and
// /offered echo; a text "close" is answered with 4123 "that is all", "many" with 200 messages, "big" with one of 1 MiB.
// POST /end ends all connections with admin.closed, POST /rotate changes the sealing keys. It lives as long as its input.
package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/seal"
)

// named admits whoever says a name in a bearer token: "ada", or "ada@key", bound to whatever key was proven.
type named struct{}

func (named) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	token, ok := auth.BearerFrom(r)
	if !ok {
		return auth.Identity{}, auth.ErrNoCredentials
	}
	name, bound := strings.CutSuffix(token, ".key")
	id := auth.Identity{Issuer: "test", Subject: name, Session: "s-" + name, Credential: "c-" + name, Method: "named", IssuedAt: time.Now()}
	if bound {
		id.Key = auth.AttemptFrom(ctx).Key
	}
	return id, nil
}

func (named) Judge(auth.Identity) error { return nil }

func serve(ctx context.Context, c *sallyport.Conn) error {
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		switch string(m.Data) {
		case "close":
			return &sallyport.CloseError{Code: 4123, Reason: "that is all"}
		case "many":
			for i := range 200 {
				if err := c.Send(ctx, sallyport.Message{Kind: sallyport.Text, Data: fmt.Append(nil, i)}); err != nil {
					return err
				}
			}
			continue
		case "big":
			m.Data = []byte(strings.Repeat("0123456789abcdef", 1<<16))
		}
		if err := c.Send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// chat serves any subprotocol.
type chat struct{ sallyport.Route }

func (r chat) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	if len(h.Protocols) > 0 {
		h.Protocol = h.Protocols[0]
	}
	return r.Route.Open(ctx, h)
}

func main() {
	var handler atomic.Pointer[http.Handler]
	lazy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load()).ServeHTTP(w, r) })
	plain, secure := httptest.NewServer(lazy), httptest.NewTLSServer(lazy)
	authorities := []string{strings.TrimPrefix(plain.URL, "http://"), strings.TrimPrefix(secure.URL, "https://")}

	public, identity, err := ed25519.GenerateKey(nil)
	check(err)
	generation := uint32(0)
	sealing := func() *sallyport.Sealing {
		generation++
		now := time.Now()
		hybrid, err := seal.GenerateKey(seal.Hybrid, now, now.Add(time.Hour))
		check(err)
		classical, err := seal.GenerateKey(seal.Classical, now, now.Add(time.Hour))
		check(err)
		ring, err := seal.NewRing(hybrid, classical)
		check(err)
		s := &sallyport.Sealing{Ring: ring, Documents: map[string][]byte{}}
		for _, a := range authorities {
			s.Documents[a], err = seal.Document{
				Authority: a, Generation: generation, Issued: now, Expires: now.Add(time.Hour), Keys: []seal.Entry{hybrid.Entry(), classical.Entry()},
			}.Sign(identity)
			check(err)
		}
		return s
	}

	tickets, err := ticket.New(ticket.Config{})
	check(err)
	config := func() sallyport.Config {
		return sallyport.Config{
			Origin:  origin.Config{Trusted: []string{secure.URL}, Hosts: authorities, Without: origin.AllowBearer, Dev: true},
			Auth:    auth.First(named{}, tickets),
			Guard:   guard.Config{MaxMessage: 2 << 20, Messages: 10_000, Bytes: 64 << 20},
			Tickets: tickets,
			Sealing: sealing(),
			API:     sallyport.API{Origin: secure.URL},
			Gates: []sallyport.Gate{
				{Path: "/required", Route: chat{sallyport.Handler(serve)}, Seal: sallyport.SealRequired},
				{Path: "/offered", Route: chat{sallyport.Handler(serve)}, Seal: sallyport.SealOffered},
				{Path: "/off", Route: chat{sallyport.Handler(serve)}},
			},
		}
	}
	door, err := sallyport.New(config())
	check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /end", func(http.ResponseWriter, *http.Request) {
		for c := range door.Conns() {
			c.End(deny.AdminClosed, nil)
		}
	})
	mux.HandleFunc("POST /rotate", func(w http.ResponseWriter, _ *http.Request) {
		if err := door.Reload(config()); err != nil {
			http.Error(w, err.Error(), 500)
		}
	})
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>seal</title>") })
	mux.Handle("/sallyport/", door.Endpoints())
	mux.Handle("/.well-known/", door.Endpoints())
	mux.Handle("/", door)
	var h http.Handler = mux
	handler.Store(&h)
	check(json.NewEncoder(os.Stdout).Encode(map[string]string{"plain": plain.URL, "secure": secure.URL, "pin": seal.PinOf(public).String()}))
	io.Copy(io.Discard, os.Stdin)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
