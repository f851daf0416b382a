package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// answerWait is how long ordinary requests may take to finish when the
// connections are gone.
const answerWait = 5 * time.Second

// resetWait is how long sockets may take to be given back: the door resets what
// is left after less than a second.
const resetWait = 1500 * time.Millisecond

// Drain makes the server not ready, serves on for shutdown.delay, then ends all
// connections with drain, spread over shutdown.drain, and stops everything. If
// ctx ends, it stops at once.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	f := s.now().file
	s.log.Info("draining", "delay", f.Shutdown.Delay, "drain", f.Shutdown.Drain)
	if f.Shutdown.Delay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(f.Shutdown.Delay):
		}
	}
	within, cancel := context.WithTimeout(ctx, f.Shutdown.Drain)
	defer cancel()
	if err := s.door.Load().Drain(within); err != nil {
		s.log.Warn("not everything ended in time", "err", err)
	}
	if ctx.Err() == nil {
		finish, cancel := context.WithTimeout(ctx, answerWait)
		defer cancel()
		for _, server := range s.servers {
			_ = server.Shutdown(finish) // what is left is closed below
		}
	}
	return s.Stop()
}

// Stop ends everything at once: connections are told, and reset within a second. Only the first call
// counts.
func (s *Server) Stop() error {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if d := s.door.Load(); d != nil {
		_ = d.Drain(gone) // everything is told, nothing is waited for
		given, cancel := context.WithTimeout(context.Background(), resetWait)
		defer cancel()
		_ = d.Drain(given)
	}
	err := s.close()
	s.log.Info("stopped")
	return err
}

// close gives back everything that was opened, in the reverse order.
func (s *Server) close() error {
	s.draining.Store(true)
	s.once.Do(func() { close(s.quit) })
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, ignoreClosed(server.Close()))
	}
	for _, l := range []net.Listener{s.admin, s.health} {
		if l != nil {
			errs = append(errs, ignoreClosed(l.Close()))
		}
	}
	switch {
	case s.listener != nil:
		errs = append(errs, ignoreClosed(s.listener.Close()))
	case s.public != nil:
		errs = append(errs, ignoreClosed(s.public.Close()))
	}
	s.tasks.Wait()
	s.mu.Lock()
	p := s.plan
	for _, a := range s.forwards {
		a.Close()
	}
	s.mu.Unlock()
	if p != nil {
		p.forget(nil)
	}
	if s.state != nil {
		errs = append(errs, s.state.Close())
	}
	if s.scratch != "" {
		errs = append(errs, os.RemoveAll(s.scratch))
	}
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
