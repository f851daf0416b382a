package app

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/sallyport/sallyport/auth/ticket"
)

// Rhythms of the upkeep.
const (
	upkeepEvery  = 5 * time.Second
	refreshEvery = 5 * time.Minute  // of a key set from a URL, and up to a tenth more
	refreshFile  = 30 * time.Second // of a key set from a file
	refreshAgain = 30 * time.Second // after a failure
	keysTrusted  = 24 * time.Hour   // after that, a set that cannot be read is not
)

// upkeep is what happens by itself: certificates that changed on disk are
// loaded, key sets are read again, lines left out of the log are counted. It
// ends with quit, and at most one fetch of 5 s later.
func (s *Server) upkeep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.tasks.Go(func() {
		<-s.quit
		cancel()
	})
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			s.access.flush(time.Now(), true)
			return
		case now := <-tick.C:
			s.access.flush(now, false)
			s.pollCertificates()
			s.keepSealing(now)
			s.refreshDue(ctx, now)
		}
	}
}

// refreshDue reads every key set whose time has come.
func (s *Server) refreshDue(ctx context.Context, now time.Time) {
	for _, v := range s.now().verifiers {
		if s.isDue(v, now) {
			s.refresh(ctx, v)
		}
	}
}

func (s *Server) isDue(v *verifier, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (v.url || v.file) && !now.Before(v.due)
}

// refresh reads one key set. Connections of keys that left it end, by OnChange.
func (s *Server) refresh(ctx context.Context, v *verifier) error {
	if !v.url && !v.file {
		return nil
	}
	err := v.Refresh(ctx)
	wait := refreshEvery + rand.N(refreshEvery/10)
	switch {
	case err != nil:
		wait = refreshAgain
	case v.file:
		wait = refreshFile
	}
	s.mu.Lock()
	v.due = time.Now().Add(wait)
	s.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the key set could not be read", "gates", v.gates, "last_success", v.LastSuccess(), "err", err)
	}
	return err
}

// pollCertificates loads certificate files that changed. The names may have
// changed with them, and so the hosts.
func (s *Server) pollCertificates() {
	p := s.now()
	if p.certs == nil || p.certs.files == nil {
		return
	}
	changed, err := p.certs.files.Poll()
	switch {
	case err != nil:
		s.log.Error("the certificate files changed and cannot be used; the old certificates stay", "err", err)
	case changed:
		s.log.Info("certificates loaded", "names", p.certs.names())
		s.rename()
	}
}

// rename puts a plan into force in which only the hosts follow the certificates.
func (s *Server) rename() {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	old := s.now()
	if len(old.file.Hosts) > 0 {
		return
	}
	p, err := s.compile(old.file, old.origins, old)
	if err == nil {
		err = s.adopt(p, old)
	}
	if err != nil {
		p.forget(old)
		s.log.Error("the hosts could not follow the new certificates", "err", err)
	}
}

// countTickets tells the meter of tickets issued and redeemed.
func (s *Server) countTickets(store ticket.Store) ticket.Store {
	if s.options.Meter == nil {
		return store
	}
	return countedTickets{store, s.options.Meter}
}

type countedTickets struct {
	ticket.Store
	meter Meter
}

func (c countedTickets) Put(ctx context.Context, key [32]byte, e ticket.Entry, limit int) error {
	err := c.Store.Put(ctx, key, e, limit)
	c.meter.Ticket(true, err == nil)
	return err
}

func (c countedTickets) Take(ctx context.Context, key [32]byte) (ticket.Entry, bool, error) {
	e, ok, err := c.Store.Take(ctx, key)
	c.meter.Ticket(false, ok && err == nil)
	return e, ok, err
}
