package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth/forward"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/state"
	"github.com/sallyport/sallyport/wss"
)

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	options Options
	log     *slog.Logger
	level   *slog.LevelVar
	access  *access
	app     http.Handler

	// Opened by Start and closed by Stop.
	state     *state.DB
	scratch   string // directory to remove; of the development authority without state
	authority *wss.DevCA
	dev       *certificates
	public    net.Listener
	listener  *wss.Listener // on top of public
	health    net.Listener
	admin     net.Listener
	servers   []*http.Server

	// The keys and stores survive a reload.
	tokens, identities *jwt.Signer
	tickets            *ticket.Tickets
	certs              current
	ownSeal            *sealing // kept in memory; guarded by reloading
	upkept             upkept   // owned by upkeep

	door     atomic.Pointer[sallyport.Door] // nil until the rooms are ready
	draining atomic.Bool
	serving  atomic.Bool

	tasks sync.WaitGroup // listeners and upkeep
	quit  chan struct{}  // closed when they are to end
	once  sync.Once      // closes quit
	fatal chan error     // why a listener ended; room for one each

	reloading sync.Mutex // held by Reload from reading to the swap

	mu         sync.Mutex // guards what follows
	plan       *plan
	forwards   map[config.Forward]*forward.Authenticator
	reloaded   time.Time
	reloadGood bool
}

// Start starts a server. It returns once everything serves; an error means that
// nothing does, and holds every mistake that was found. Errors of the
// configuration are of type [*Mistake].
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.File == nil {
		return nil, errors.New("there is no configuration")
	}
	s := &Server{
		options: o, level: new(slog.LevelVar), quit: make(chan struct{}), fatal: make(chan error, 3),
		forwards: map[config.Forward]*forward.Authenticator{},
	}
	s.level.Set(logLevel(o.File.Log.Level))
	s.log = newLog(o.Log, o.File.Log.Format, s.level)
	s.access = newAccess(s.log)
	if err := s.furnish(ctx, s.open()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.serve()
	s.announce()
	return s, nil
}

// open opens state and keys, and binds every address.
func (s *Server) open() error {
	f := s.options.File
	var errs []error
	var err error
	if f.InMemory() {
		s.state = state.Memory()
	} else if s.state, err = state.Open(f.State); err != nil {
		return err // nothing can be said about what depends on it
	}
	if s.tokens, err = signer(s.state, "token-key"); err != nil {
		errs = append(errs, err)
	}
	if s.identities, err = signer(s.state, "identity-key"); err != nil {
		errs = append(errs, err)
	}
	if s.tickets, err = ticket.New(ticket.Config{Store: s.countTickets(ticket.NewMemory(0))}); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.bind()...)...)
}

// signer returns a signing key of the state, making it the first time.
func signer(db *state.DB, name string) (*jwt.Signer, error) {
	pem, err := db.Secret(name, func() ([]byte, error) {
		fresh, err := jwt.NewSigner()
		if err != nil {
			return nil, err
		}
		return fresh.MarshalPEM()
	})
	if err != nil {
		return nil, err
	}
	return jwt.ParseSigner(pem)
}

// Signer opens the signing key of the door's tokens in a state directory that no
// server uses at the moment. close lets go of the directory.
func Signer(dir string) (tokens *jwt.Signer, close func() error, err error) {
	db, err := state.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	if tokens, err = signer(db, "token-key"); err != nil {
		db.Close()
		return nil, nil, err
	}
	return tokens, db.Close, nil
}

// furnish makes the rooms and the door. It looks for mistakes also if opening
// failed, so that they are reported together.
func (s *Server) furnish(ctx context.Context, opened error) error {
	if s.tokens == nil || s.identities == nil || s.tickets == nil {
		return opened
	}
	if s.options.App != nil {
		s.app = s.options.App(s)
	}
	p, err := s.compile(s.options.File, s.options.Origins, nil)
	if err == nil {
		var door *sallyport.Door
		if door, err = sallyport.New(p.door); err != nil {
			err = &Mistake{err}
		} else if opened == nil {
			s.door.Store(door)
			s.certs.set(p.certs)
			s.mu.Lock()
			s.plan, s.reloaded, s.reloadGood = p, time.Now(), true
			s.mu.Unlock()
			err = s.loadKeys(ctx, p)
		}
	}
	if err = errors.Join(opened, err); err != nil {
		p.forget(nil)
	}
	return err
}

// loadKeys fetches key sets before the first token comes. A provider that is
// down does not keep the server from starting: it is not ready, and tokens are
// refused with auth.unavailable. A file that cannot be used is a mistake.
func (s *Server) loadKeys(ctx context.Context, p *plan) error {
	errs := make([]error, len(p.verifiers))
	var all sync.WaitGroup
	for i, v := range p.verifiers {
		all.Go(func() {
			if err := s.refresh(ctx, v); err != nil && v.file {
				errs[i] = &Mistake{fmt.Errorf("gate %s: %w", v.gates[0], err)}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Door is the door; nil before Start returns, except for handlers.
func (s *Server) Door() *sallyport.Door { return s.door.Load() }

// Sessions are the door's own sessions, nil if none are kept.
func (s *Server) Sessions() *session.Sessions { return s.now().sessions }

// Addr is the address of the public listener.
func (s *Server) Addr() net.Addr { return s.public.Addr() }

// HealthAddr and AdminAddr are nil where nothing listens.
func (s *Server) HealthAddr() net.Addr { return addrOf(s.health) }

// AdminAddr is where the administrator's API listens.
func (s *Server) AdminAddr() net.Addr { return addrOf(s.admin) }

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Name is the door's own origin, as https://app.example.com.
func (s *Server) Name() string { return s.now().name() }

// Authority is the development authority, nil without tls.dev.
func (s *Server) Authority() *wss.DevCA { return s.authority }

// now is the plan in force.
func (s *Server) now() *plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan
}

// observe passes an event on to all who want it.
func (s *Server) observe(e sallyport.Event) {
	s.access.observe(e)
	if m := s.options.Meter; m != nil {
		m.Observe(e)
	}
	if f := s.options.Observe; f != nil {
		f(e)
	}
}

// rejudge ends the connections that a key set which has changed no longer
// supports.
func (s *Server) rejudge() {
	if d := s.door.Load(); d != nil {
		d.Rejudge()
	}
}

// snapshot is what the meter reads.
func (s *Server) snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plan
	out := Snapshot{
		Conns: s.door.Load().Conns(), Draining: s.draining.Load(), NotAfter: p.certs.notAfter(),
		SealEnds: p.sealing.ends(), Reloaded: s.reloaded, ReloadOK: s.reloadGood, Warnings: len(p.warnings()), Suppressed: s.access.Suppressed(),
		Engine: s.engine(),
	}
	for i := range p.file.Gates {
		if p.file.Gates[i].Backend.DangerouslySkipVerify != "" {
			out.Unverified++
		}
	}
	for _, v := range p.verifiers {
		hits, misses := v.Remembered()
		out.Verdicts = append(out.Verdicts, Verdicts{Gates: slices.Clone(v.gates), Hits: hits, Misses: misses})
		if v.url || v.file {
			out.Keys = append(out.Keys, Keys{Gates: slices.Clone(v.gates), LastSuccess: v.LastSuccess(), Failures: v.Failures()})
		}
	}
	return out
}

// devDir is where the development authority is kept.
func (s *Server) devDir() (string, error) {
	if !s.options.File.InMemory() {
		return s.options.File.State, nil
	}
	dir, err := os.MkdirTemp("", "sallyport-dev-")
	s.scratch = dir
	return dir, err
}
