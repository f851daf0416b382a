package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/app/metrics"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/test/soak/wire"
	"github.com/sallyport/sallyport/wss"
)

// direct is the second kind of door: a Go program whose handlers live in the
// process, with the listener of the package. It serves until SIGTERM, and takes
// orders on its health listener.
func direct(dir, engine string) error {
	verifier, err := jwt.New(jwt.Config{Issuer: issuer, Audience: audience, JWKS: "file:" + dir + "/jwks.json", Algs: []string{"ES256"}})
	if err != nil {
		return err
	}
	if err := verifier.Refresh(context.Background()); err != nil {
		return err
	}
	meter := metrics.New("soak")
	door, err := sallyport.New(directConfig(verifier, engine, meter, false))
	if err != nil {
		return err
	}
	meter.Bind(func() app.Snapshot {
		e := door.Engines()
		return app.Snapshot{Conns: door.Conns(), Engine: app.Engine{Name: engine, Lends: e.Lends, Late: e.Late}}
	})
	files, err := wss.OpenFiles([]wss.File{{Cert: dir + "/door.pem", Key: dir + "/door.pem"}})
	if err != nil {
		return err
	}
	profile, err := wss.TLSConfig(wss.Config{Certificates: files})
	if err != nil {
		return err
	}
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	health, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	orders := http.NewServeMux()
	orders.Handle("GET /metrics", meter.Handler())
	orders.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		n, err := door.Revoke(r.Context(), guard.Match{Issuer: issuer, Subject: r.FormValue("subject")})
		answer(w, n, err)
	})
	orders.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		verifier.Forget()
		answer(w, 0, errors.Join(files.Reload(), door.Reload(directConfig(verifier, engine, meter, r.FormValue("guests") == "true"))))
	})
	listener := wss.Listen(public, wss.Options{TLS: profile})
	server := &http.Server{Handler: door, ErrorLog: log.New(io.Discard, "", 0)}
	listener.Install(server)
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(listener) }()     // ends with the process
	go func() { ended <- http.Serve(health, orders) }() // ends with the process
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("serving", "listen", public.Addr().String(), "health", health.Addr().String(), "engine", engineOf(door))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return door.Drain(within)
}

func engineOf(d *sallyport.Door) string {
	if d.Engines().Engine == sallyport.EnginePortable {
		return "portable"
	}
	return "poll"
}

func answer(w http.ResponseWriter, n int, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, n)
}

func directConfig(verifier *jwt.Verifier, engine string, meter *metrics.Metrics, guests bool) sallyport.Config {
	wide := guard.Config{Messages: 100_000, Bytes: 1 << 30}
	quick := wide
	quick.Ping, quick.PongWait = time.Second, time.Second
	c := sallyport.Config{
		Origin: origin.Config{Trusted: origins(guests), Hosts: []string{host}}, Auth: auth.First(verifier), Guard: wide, Observe: meter.Observe,
		Gates: []sallyport.Gate{
			{Path: "/ws", Route: sallyport.OnMessage(echo)},
			{Path: "/quick", Route: sallyport.OnMessage(echo), Guard: &quick},
			{Path: "/handler", Route: sallyport.Handler(handle)},
			{Path: "/stuck", Route: sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) {
				time.Sleep(50 * time.Millisecond) // what a handler must not do: its loop goes on without it
				echo(c, m)
			})},
			{Path: "/deaf", Route: sallyport.Handler(func(ctx context.Context, _ *sallyport.Conn) error {
				<-ctx.Done() // takes no message, until its connection ends
				return ctx.Err()
			})},
		},
	}
	if engine == "portable" {
		c.Engine = sallyport.EnginePortable
	}
	return c
}

func echo(c *sallyport.Conn, m sallyport.Message) {
	if err := c.Post(m); err != nil {
		c.End(deny.GuardSlow, err)
	}
}

// handle is what wire.Backend does, as a handler; it dies by a panic.
func handle(ctx context.Context, c *sallyport.Conn) error {
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		switch string(m.Data) {
		case wire.AskLeave:
			return nil
		case wire.AskDie:
			panic("as the client wanted")
		case wire.AskFlood:
			flood := sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, wire.FloodSize)}
			for err == nil {
				err = c.Send(ctx, flood)
			}
			return err
		}
		if err := c.Send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
