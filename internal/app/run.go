package app

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/wss"
)

// Interrupted is the error of [Run] after a second signal: what was still open
// was cut. The program exits with 128 and the number of the signal.
type Interrupted struct{ Signal os.Signal }

func (e *Interrupted) Error() string { return fmt.Sprintf("stopped at once by %s", e.Signal) }

// ballast is a piece of the heap that nobody touches, so that the system gives no
// memory for it. Garbage is collected when the heap has doubled, which while it is
// small is every 4 MiB: forty times a second when two thousand clients come in it. So
// it is every 20 MiB; what is saved up is given back when they have come.
const ballast = 16 << 20

// Run starts a server and lets it run until ctx ends or a signal says so: the
// first SIGTERM or SIGINT drains, a second one stops at once, SIGHUP reloads. It
// returns nil after a drain.
func Run(ctx context.Context, o Options) error {
	defer runtime.KeepAlive(make([]byte, ballast))
	signals := o.Signals
	if signals == nil {
		own := make(chan os.Signal, 4)
		signal.Notify(own, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt)
		defer signal.Stop(own)
		signals = own
	}
	s, err := Start(ctx, o)
	if err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(s)
	}
	for {
		select {
		case <-ctx.Done():
			return s.drainUntil(signals)
		case err := <-s.fatal:
			s.log.Error("a listener ended", "err", err)
			_ = s.Stop()
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return s.drainUntil(signals)
			}
			_ = s.Reload(ctx) // which has said why
		}
	}
}

// drainUntil drains, or stops at once when a further signal comes.
func (s *Server) drainUntil(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Drain(ctx) }() // ends with done, which is waited for
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			s.log.Warn("second signal: stopping at once")
			cancel()
			<-done
			return &Interrupted{sig}
		}
	}
}

// announce writes what an operator wants to see once at start.
func (s *Server) announce() {
	p := s.now()
	s.log.Info("serving", "version", s.options.Version, "listen", s.Addr().String(), "hosts", p.hosts, "gates", len(p.file.Gates), "engine", s.engine().Name,
		"state", p.file.State, "health", addrText(s.HealthAddr()), "admin", addrText(s.AdminAddr()))
	if ca := s.authority; ca != nil {
		s.log.Info(trust(p), "path", ca.Path(), "sha256", ca.Fingerprint())
	}
	s.tellSealing("sealed gates", p.sealing)
	if p.file.App != "" {
		s.log.Info("pages of the app without a Content-Security-Policy of their own get the door's strict one", "app", p.file.App)
	}
	for _, l := range p.lowered {
		if l.byDefault {
			s.log.Info(l.why)
		}
	}
	s.warn()
}

// trust says how the development authority comes to be trusted.
func trust(p *plan) string {
	if p.file.InMemory() {
		return "nobody trusts the development authority, and it is gone after this run: it lies in a temporary directory, since state is memory"
	}
	return "nobody trusts the development authority until you say so: run \"" + config.DevCACommand(p.file.State, p.origins["state"].Source) + "\""
}

func addrText(a interface{ String() string }) string {
	if a == nil {
		return "off"
	}
	return a.String()
}

// warn writes a line for everything that weakens the door.
func (s *Server) warn() {
	p := s.now()
	list := p.warnings()
	if p.file.InMemory() && p.file.Admin.Listen == "unix" {
		list = append(list, "admin: there is no state directory for its socket, so there is none: connections cannot be listed or revoked from outside")
	}
	if w := s.engine().warning(runtime.Version()); w != "" {
		list = append(list, w)
	}
	if w := wss.GoVersionWarning(runtime.Version()); w != "" {
		list = append(list, w)
	}
	for _, w := range list {
		s.log.Warn(w)
	}
}
