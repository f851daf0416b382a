package app

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/sealkeys"
	"github.com/sallyport/sallyport/seal"
)

// seals are the modes of a gate as a configuration names them.
var seals = map[string]sallyport.Seal{"off": sallyport.SealOff, "offered": sallyport.SealOffered, "required": sallyport.SealRequired}

// sealing is the keys of the seal of one plan. It is not changed once the plan is
// in force.
type sealing struct {
	dir        string // empty: in memory
	set        *sealkeys.Set
	stamp      sealkeys.Stamp // of the set in dir, as it was read
	identities []ed25519.PrivateKey
	renews     bool // the server makes new keys by itself
}

// ends says when sealing stops unless there are new keys.
func (k *sealing) ends() map[string]time.Time {
	if k == nil {
		return nil
	}
	each, _ := k.set.Ends()
	return each
}

// openSealing reads the keys of the seal, renews them if that is the server's
// business and their time has come, and gives them to the door. Keys that are
// over keep a server from starting to seal; one that does says so and goes on.
func (s *Server) openSealing(p *plan, running bool) error {
	f := p.file
	if !slices.ContainsFunc(f.Gates, func(g config.Gate) bool { return seals[g.Seal] != sallyport.SealOff }) {
		return nil
	}
	now := time.Now()
	want := wanted{names: sealNames(p), explicit: len(f.Sealing.Authorities) > 0}
	for _, name := range f.Sealing.Suites {
		suite, err := sealkeys.ParseSuite(name)
		if err != nil {
			return fmt.Errorf("sealing.suites: %w", err)
		}
		want.suites = append(want.suites, suite)
	}
	var k *sealing
	var err error
	if f.Sealing.Dir == "" {
		k, err = s.sealInMemory(want, now)
	} else {
		k, err = s.sealOnDisk(f, want, now)
	}
	if err != nil {
		return err
	}
	if err := s.covers(k, want); err != nil {
		return err
	}
	_, end := k.set.Ends()
	if !running && end.IsZero() {
		return fmt.Errorf("sealing: a document in %s lists no key that is here for every suite: run \"sallyport keys rotate\"", k.dir)
	}
	if !running && !now.Before(end) {
		return fmt.Errorf("sealing: the keys in %s ended at %s: run \"sallyport keys rotate\"", k.dir, end.UTC().Format(time.RFC3339))
	}
	ring, err := k.set.Ring()
	if err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	p.sealing = k
	p.door.Sealing = &sallyport.Sealing{Ring: ring, Documents: k.set.Documents}
	return nil
}

// covers wants a document for each name that was configured, or for one at least
// of those that follow from hosts and listener.
func (s *Server) covers(k *sealing, want wanted) error {
	if len(k.set.Documents) == 0 {
		return fmt.Errorf("sealing: the keys in %s were never signed: \"sallyport keys unsigned\" writes what is to be signed, \"sallyport keys adopt\" takes what was", k.dir)
	}
	var missing []string
	for _, name := range want.names {
		if _, ok := k.set.Documents[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || !want.explicit && (s.checking() || len(missing) < len(want.names)) {
		return nil
	}
	return fmt.Errorf("sealing: no signed document in %s is for %s: run \"sallyport keys generate --authority %s\"", k.dir, strings.Join(missing, ", "), missing[0])
}

// checking reports whether nothing is to be written: there is no listener.
func (s *Server) checking() bool {
	_, ok := s.public.(nowhere)
	return ok
}

// sealNames are the names under which clients reach the door.
func sealNames(p *plan) []string {
	if names := p.file.Sealing.Authorities; len(names) > 0 {
		return names
	}
	var names []string
	for _, o := range p.own {
		name := strings.TrimPrefix(o, "https://")
		if _, _, err := net.SplitHostPort(name); err != nil {
			name += ":443"
		}
		names = append(names, name)
	}
	return names
}

// wanted is what the configuration wants of keys.
type wanted struct {
	names    []string
	explicit bool         // the names were configured
	suites   []seal.Suite // nil: those that there are
}

// sealInMemory makes keys that end with the process.
func (s *Server) sealInMemory(want wanted, now time.Time) (*sealing, error) {
	k := s.ownSeal
	if k == nil {
		identity, err := sealkeys.NewIdentity()
		if err != nil {
			return nil, err
		}
		k = &sealing{identities: []ed25519.PrivateKey{identity}}
	}
	k = &sealing{set: k.set, identities: k.identities, renews: true}
	if k.set != nil && k.set.Over(now) {
		k.set = k.set.Clone()
		k.set.Prune(now)
	}
	if err := k.renew(want, now); err != nil {
		return nil, err
	}
	s.ownSeal = k
	return k, nil
}

// sealOnDisk reads the keys in the folder, and changes them where that is needed
// and possible. If it fails, keys that are still good are used, and a line says so.
func (s *Server) sealOnDisk(f *config.File, want wanted, now time.Time) (*sealing, error) {
	auto := f.Sealing.Renew == "auto"
	k, err := readSealing(f.Sealing.Dir, auto)
	none := errors.Is(err, sealkeys.ErrNone)
	if none && !f.TLS.Dev {
		name := "app.example.com:443"
		if len(want.names) > 0 {
			name = want.names[0]
		}
		return nil, fmt.Errorf("sealing: %w: run \"sallyport keys generate --dir %s --authority %s\"", err, f.Sealing.Dir, name)
	}
	if err != nil && !none {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	if s.checking() {
		if none {
			return s.sealInMemory(want, now)
		}
		if k.renews {
			err = k.renew(want, now)
		}
		return k, err
	}
	if !none && !k.set.Over(now) && !(k.renews && k.stale(want, now)) {
		return k, nil
	}
	err = sealkeys.Locked(f.Sealing.Dir, func() error {
		fresh, err := readSealing(f.Sealing.Dir, auto)
		if errors.Is(err, sealkeys.ErrNone) && none {
			fresh, err = firstSealing(f.Sealing.Dir)
		}
		if err != nil {
			return err
		}
		k = fresh
		if k.set != nil {
			k.set.Prune(now)
		}
		if k.renews {
			if err := k.renew(want, now); err != nil {
				return err
			}
		}
		if err := sealkeys.Save(k.dir, k.set); err != nil {
			return err
		}
		k.stamp = sealkeys.StampOf(k.dir)
		return nil
	})
	if err != nil && k != nil && k.set != nil && len(k.set.Documents) > 0 {
		k.set.Prune(now)
		s.log.Error("the sealing keys could not be renewed; those that there are stay", "dir", k.dir, "err", err)
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return k, nil
}

// readSealing reads what is in dir. With auto it is renewed by whoever has the
// identity.
func readSealing(dir string, auto bool) (*sealing, error) {
	k := &sealing{dir: dir, stamp: sealkeys.StampOf(dir)} // before it is read: a change meanwhile is seen later
	var err error
	if k.set, err = sealkeys.Load(dir); err != nil {
		return nil, err
	}
	if k.identities, err = sealkeys.Identities(dir); err != nil {
		return nil, err
	}
	k.renews = auto && len(k.identities) > 0
	return k, nil
}

// firstSealing is that of a development server which starts for the first time.
func firstSealing(dir string) (*sealing, error) {
	k := &sealing{dir: dir, renews: true}
	var err error
	if k.identities, err = sealkeys.Identities(dir); err == nil && len(k.identities) == 0 {
		var identity ed25519.PrivateKey
		identity, err = sealkeys.CreateIdentity(dir)
		k.identities = []ed25519.PrivateKey{identity}
	}
	return k, err
}

// stale reports whether renew would change anything.
func (k *sealing) stale(want wanted, now time.Time) bool {
	set := k.set
	return set == nil || set.Due(now) || !set.Signed() || want.suites != nil && !same(set.Suites, want.suites) ||
		slices.ContainsFunc(want.names, func(n string) bool { return !slices.Contains(set.Authorities, n) }) ||
		slices.ContainsFunc(sealkeys.PinsOf(k.identities), func(p seal.Pin) bool { return !slices.Contains(set.Pins, p) })
}

func same(a, b []seal.Suite) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// renew makes k.set, or a copy of it in which names, suites and keys are as they
// should be, signed by the identities. Names that nobody wants any more stay while
// there is room.
func (k *sealing) renew(want wanted, now time.Time) error {
	if !k.stale(want, now) {
		return nil
	}
	pins := sealkeys.PinsOf(k.identities)
	var set *sealkeys.Set
	if k.set == nil {
		var err error
		if set, err = sealkeys.New(want.names, want.suites, pins...); err != nil {
			return fmt.Errorf("sealing.authorities: %w", err)
		}
	} else {
		set = k.set.Clone()
		names := slices.Concat(set.Authorities, want.names)
		if err := set.Name(names); err != nil {
			if err := set.Name(want.names); err != nil {
				return fmt.Errorf("sealing.authorities: %w", err)
			}
		}
		if err := set.Trust(pins...); err != nil {
			return err
		}
		if want.suites != nil {
			if err := set.Only(want.suites); err != nil {
				return fmt.Errorf("sealing.suites: %w", err)
			}
		}
	}
	if err := set.Rotate(now, false); err != nil {
		return err
	}
	if err := set.Sign(now, sealkeys.Signers(k.identities)...); err != nil {
		return err
	}
	k.set = set
	return nil
}
