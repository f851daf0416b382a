package app

import (
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/sealkeys"
)

// Rhythms of the seal's upkeep.
const (
	resealAgain = time.Minute    // after a failure
	warnOfEnd   = 24 * time.Hour // between two warnings
)

// upkept is what upkeep remembers of the seal.
type upkept struct {
	again  time.Time // before it, nothing is tried
	warned time.Time
}

// keepSealing puts keys into force that somebody changed on disk, makes new ones
// where that is the server's business, and warns when it is not. Connections stay.
func (s *Server) keepSealing(now time.Time) {
	k := s.now().sealing
	if k == nil {
		return
	}
	changed := k.dir != "" && !sealkeys.StampOf(k.dir).Equal(k.stamp)
	due := k.set.Over(now) || k.renews && k.set.Due(now)
	if (changed || due) && !now.Before(s.upkept.again) {
		s.upkept.again = now.Add(resealAgain)
		if err := s.reseal(); err != nil {
			s.log.Error("the sealing keys changed and cannot be used; the old ones stay", "dir", k.dir, "err", err)
		} else if k = s.now().sealing; changed {
			s.upkept.again = time.Time{}
		}
	}
	if k != nil && now.Sub(s.upkept.warned) >= warnOfEnd && s.warnOfSealing(k, now) {
		s.upkept.warned = now
	}
}

// warnOfSealing reports whether there was something to say.
func (s *Server) warnOfSealing(k *sealing, now time.Time) bool {
	_, end := k.set.Ends()
	switch left := end.Sub(now); {
	case left <= 0:
		s.log.Error("the sealing keys are over: clients with a pin cannot connect; run \"sallyport keys rotate\"", "end", end.UTC())
	case !k.set.Signed():
		s.log.Warn("new sealing keys wait for a signature; \"sallyport keys unsigned\" writes what is to be signed", "generation", k.set.Generation, "end", end.UTC())
	case left < sealkeys.Overlap-time.Hour: // who renews them by itself had an hour
		s.log.Warn("the sealing keys end soon; run \"sallyport keys rotate\"", "end", end.UTC())
	default:
		return false
	}
	return true
}

// reseal puts a plan into force in which only the sealing keys are others.
func (s *Server) reseal() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	old := s.now()
	p, err := s.compile(old.file, old.origins, old)
	if err == nil && (p.sealing == nil) != (old.sealing == nil) {
		err = errors.New("the seal is gone")
	}
	if err == nil {
		err = s.adopt(p, old)
	}
	if err != nil {
		p.forget(old)
		return err
	}
	s.tellSealing("sealing keys loaded", p.sealing)
	return nil
}

// tellSealing writes what clients and operators are to know of the keys.
func (s *Server) tellSealing(msg string, k *sealing) {
	if k == nil {
		return
	}
	var pins []string
	for _, p := range k.set.Pins {
		pins = append(pins, p.String())
	}
	_, end := k.set.Ends()
	where := k.dir
	if where == "" {
		where = "memory: the pin is gone after this run"
	}
	s.log.Info(msg, "pins", pins, "names", k.set.Authorities, "generation", k.set.Generation, "end", end.UTC(), "keys", where)
}
