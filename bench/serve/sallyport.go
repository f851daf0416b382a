package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/bench/wire"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/wss"
)

// quiet is how long nothing happens by itself: no peer pings or ends idle
// connections by default. The alarms are set all the same.
const quiet = time.Hour

// sallyport is the door in a Go program with its own listener: OnMessage, or a
// blocking Handler.
func (s *site) sallyport() error {
	who, err := s.authenticator()
	if err != nil {
		return err
	}
	var route sallyport.Route = sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) {
		if err := c.Post(m); err != nil {
			c.End(deny.Internal, err)
		}
	})
	if s.lib == "sallyport-handler" {
		route = sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
			for m, err := range c.Messages(ctx) {
				if err != nil {
					return err
				}
				if err := c.Send(ctx, m); err != nil {
					return err
				}
			}
			return nil
		})
	}
	engine, err := chooseEngine(s.engine)
	if err != nil {
		return err
	}
	f := &feed{}
	door, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://" + wire.Host}},
		Auth:   who,
		Engine: engine,
		Guard:  guard.Config{Idle: quiet, Ping: quiet - 1, Messages: 1_000_000, Bytes: 1 << 40}, // rates would measure themselves
		Limits: guard.Limits{PerAddress: 50_000, PerSubject: 50_000},
		Gates: []sallyport.Gate{
			{Path: "/echo", Route: route},
			{Path: "/feed", Route: f},
			{Path: "/publish", Route: sallyport.OnMessage(func(_ *sallyport.Conn, m sallyport.Message) { f.publish(m) })},
		},
	})
	if err != nil {
		return err
	}
	f.door = door
	if s.control != "" {
		go s.serveControl(door) // ends with the process
	}
	return s.serveDoor(door)
}

// serveDoor is what "sallyport serve" does: the strict listener, and the profile
// of package wss.
func (s *site) serveDoor(door *sallyport.Door) error {
	files, err := wss.OpenFiles([]wss.File{{Cert: s.cert, Key: s.key}})
	if err != nil {
		return err
	}
	profile, err := wss.TLSConfig(wss.Config{Certificates: files})
	if err != nil {
		return err
	}
	listener := wss.Listen(s.listener, wss.Options{TLS: profile})
	server := &http.Server{Handler: door, ErrorLog: log.New(io.Discard, "", 0)}
	listener.Install(server)
	return server.Serve(listener)
}

// chooseEngine is the one place that says which engine feeds connections: "" is
// what the door takes by itself.
func chooseEngine(name string) (sallyport.Engine, error) {
	switch name {
	case "":
		return sallyport.EngineAuto, nil
	case "portable":
		return sallyport.EnginePortable, nil
	}
	return 0, fmt.Errorf("SALLYPORT_ENGINE=%q: there is none but portable", name)
}

// authenticator asks for tokens if there is a key set.
func (s *site) authenticator() (auth.Authenticator, error) {
	if s.jwks == "" {
		return auth.Anonymous("a benchmark that only this machine reaches"), nil
	}
	verifier, err := jwt.New(jwt.Config{Issuer: wire.Issuer, Audience: wire.Audience, JWKS: "file:" + s.jwks, Algs: []string{"ES256"}})
	if err != nil {
		return nil, err
	}
	return auth.First(verifier), verifier.Refresh(context.Background())
}

// feed is a Route that keeps its connections for Door.Broadcast.
type feed struct {
	hub[*sallyport.Conn]
	door *sallyport.Door
}

func (f *feed) Open(context.Context, *sallyport.Handshake) (sallyport.Sink, error) { return f, nil }
func (f *feed) Opened(c *sallyport.Conn)                                           { f.add(c) }
func (f *feed) Message(*sallyport.Conn, sallyport.Message)                         {}

func (f *feed) Closed(c *sallyport.Conn, _ deny.Reason) {
	if c != nil {
		f.remove(c)
	}
}

func (f *feed) publish(m sallyport.Message) {
	if _, dropped := f.door.Broadcast(f.each, m); dropped > 0 {
		log.Printf("%d subscribers dropped", dropped) // the load client will say so too
	}
}

// serveControl revokes by "POST /revoke?subject=…".
func (s *site) serveControl(door *sallyport.Door) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		n, err := door.Revoke(r.Context(), guard.Match{Issuer: wire.Issuer, Subject: r.URL.Query().Get("subject")})
		if err == nil && n == 0 {
			err = errors.New("nobody has this subject")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, n)
	})
	log.Fatal("serve: control: ", http.ListenAndServe(s.control, mux))
}
