// Package demo is the guarded door on one machine with nothing installed: TLS,
// the door, a chat behind it, a page to try it from, and an "evil" page that
// tries and fails. It is what `sallyport demo` runs.
//
// It shows cross-site WebSocket hijacking (RFC 6455, section 10.2) being
// refused, altered, expired and replayed credentials being refused with their
// reasons, and an open socket ending within a second of the log-out. It proves
// none of that; the tests do.
//
// It also makes trouble: the page can cut the cable of its own connection, end
// its token or its session early, and deploy another door (see trouble). And it goes,
// if the visitor likes, through somebody in the middle who ends TLS, reads along
// and changes a bit (see relay), with and without the seal. All that exists in
// the demo only.
//
// Signing in needs no password, so everything listens on loopback only, and the
// login answers nobody else. By default nothing but the development authority
// is written to disk, and a restart forgets every session.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/state"
)

// Options of [Run].
type Options struct {
	// Port of https://localhost, 1 to 65535. The next free one is taken if it is
	// busy. Zero means 8443.
	Port int

	// Out is told what to open. nil: nobody is.
	Out io.Writer

	// State is a directory for sessions, revocations, keys and the development
	// authority, so that they survive a restart. Default: sessions,
	// revocations and keys are forgotten; the authority is kept in the default
	// state directory, since a browser may have been told to trust it.
	State string

	// Open opens the page in the user's browser. That it could not be opened is
	// no error.
	Open bool
}

const (
	defaultPort = 8443

	// drainWait is how long open connections may take to end after ctx did.
	drainWait = 3 * time.Second
)

// Run serves the demo until ctx ends, and then ends every connection with
// drain, which takes 3 s at most. It returns nil then. It returns an error if
// no port is free, if the state or the development authority cannot be opened,
// or if serving fails.
func Run(ctx context.Context, o Options) error {
	if o.Port == 0 {
		o.Port = defaultPort
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	d := &demo{failed: make(chan error, 8)}
	err := d.start(o)
	if err == nil {
		d.announce(o.Out)
		if o.Open {
			openBrowser(d.origin)
		}
		select {
		case <-ctx.Done():
			fmt.Fprintln(o.Out, "Ending every connection …")
		case err = <-d.failed:
		}
	}
	return errors.Join(err, d.stop())
}

// demo is everything that runs.
type demo struct {
	// Set once by start.
	origin string // of the page: "https://localhost:8443"
	evil   string // of the other page: "http://127.0.0.1:50123"
	middle string // of the relay: "https://localhost:8444"
	port   int
	asked  int // the port that was wanted
	state  *state.DB
	ca     authority
	home   string // what said where the authority is kept, as config.DefaultState has it
	chat   *chat
	cable  *cable
	relay  *relay
	guard  *guardedDoor
	closes []func() // in reverse order of being opened

	failed  chan error // of a server that stopped by itself
	servers sync.WaitGroup
}

// start opens everything from the back to the front: the backend, the door
// before it, the page's listener. What was opened before an error is for stop.
func (d *demo) start(o Options) error {
	if err := d.openState(o.State); err != nil {
		return err
	}
	front, err := listenFrom(o.Port)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.asked, d.port = o.Port, front.port
	d.origin = fmt.Sprintf("https://localhost:%d", front.port)
	d.later(front.close)

	between, err := listenFrom(beside(front.port)) // for the relay
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.middle = fmt.Sprintf("https://localhost:%d", between.port)
	d.later(between.close)

	aside, err := listenAside() // for the evil page
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.evil = "http://" + aside.Addr().String()
	d.later(func() { aside.Close() })

	behind, err := listenAside() // for the chat
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.later(func() { behind.Close() })

	signers, err := openSigners(d.state)
	if err != nil {
		return err
	}
	identities, err := newIdentities(signers.identity.JWKS(), d.origin, chatName)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.chat = newChat(identities)
	d.cable = newCable()
	d.relay = newRelay(front.listeners[0].Addr().String(), d.trust())
	seals, err := newSeals(d.state, hostOf(d.origin), hostOf(d.middle))
	if err != nil {
		return err
	}
	d.guard, err = newDoor(doorConfig{
		Origin: d.origin, Evil: d.evil, Middle: d.middle, Backend: "ws://" + behind.Addr().String(),
		State: d.state, Signers: signers, Cable: d.cable, Relay: d.relay, Seals: seals,
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.serve(behind, d.chat)
	d.serve(aside, newEvilPage(d.origin))
	if err := d.serveTLS(front, d.guard); err != nil {
		return err
	}
	return d.serveRelay(between)
}

// later remembers what stop has to close.
func (d *demo) later(f func()) { d.closes = append(d.closes, f) }

// stop ends connections first, so that everybody is told why, then the servers,
// then what is behind them.
func (d *demo) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainWait)
	defer cancel()
	var err error
	if d.guard != nil {
		d.cable.close()
		err = d.guard.doors.close(ctx)
		d.relay.close()
	}
	for i := len(d.closes) - 1; i >= 0; i-- {
		d.closes[i]()
	}
	d.servers.Wait()
	if d.chat != nil {
		d.chat.close()
	}
	if d.state != nil {
		err = errors.Join(err, d.state.Close())
	}
	if err != nil {
		return fmt.Errorf("demo: stop: %w", err)
	}
	return nil
}

// serverOf returns a server for h that waits for nobody.
func serverOf(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          quiet(),
	}
}
