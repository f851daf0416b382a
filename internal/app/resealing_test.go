package app

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth/forward"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/sealkeys"
	"github.com/sallyport/sallyport/internal/state"
)

const (
	sealedName = "app.example.com:443"
	day        = 24 * time.Hour
)

// sealedServer is a server without listeners and upkeep, which the test does.
type sealedServer struct {
	*Server
	t   *testing.T
	dir string
	log *bytes.Buffer
}

// newSealedServer compiles a gate with a seal; more are further settings.
func newSealedServer(t *testing.T, dir, more string) (*sealedServer, error) {
	t.Helper()
	const gate = `
hosts: [app.example.com]
tls: {terminated_by: [127.0.0.1]}
gates:
  - {path: /ws, to: "ws://127.0.0.1:3000", origins: ["https://app.example.com"], auth: {anonymous: "a public demonstration"}, seal: required}
`
	where := "state: memory\n"
	if dir != "" {
		where = "state: " + dir + "\n"
	}
	f, origins, err := config.Load(config.Source{Files: []string{"-"}, Stdin: strings.NewReader(where + more + gate), Env: EngineEnv()})
	if err != nil {
		t.Fatal(err)
	}
	s := &sealedServer{t: t, dir: filepath.Join(dir, "seal"), log: new(bytes.Buffer)}
	s.Server = &Server{
		options: Options{File: f, Origins: origins}, level: new(slog.LevelVar), log: newLog(s.log, "json", slog.LevelInfo), state: state.Memory(),
		public: listening{}, quit: make(chan struct{}), forwards: map[config.Forward]*forward.Authenticator{},
	}
	s.access = newAccess(s.Server.log)
	var errs [3]error
	s.tokens, errs[0] = signer(s.state, "token-key")
	s.identities, errs[1] = signer(s.state, "identity-key")
	s.tickets, errs[2] = ticket.New(ticket.Config{})
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	p, err := s.compile(f, origins, nil)
	if err != nil {
		return s, err
	}
	door, err := sallyport.New(p.door)
	if err != nil {
		t.Fatal(err)
	}
	s.door.Store(door)
	s.plan = p
	return s, nil
}

// listening is an address, and no listener.
type listening struct{ nowhere }

// days lets so many pass, with upkeep in each.
func (s *sealedServer) days(n int) {
	for range n {
		time.Sleep(day)
		s.keepSealing(time.Now())
	}
}

// left is how long clients can connect from now on.
func (s *sealedServer) left() time.Duration {
	_, end := s.plan.sealing.set.Ends()
	return time.Until(end)
}

// said counts lines with text, and forgets them.
func (s *sealedServer) said(text string) int {
	n := strings.Count(s.log.String(), text)
	s.log.Reset()
	return n
}

// onDisk makes keys for the server in a new state directory; offline keeps no
// identity there.
func onDisk(t *testing.T, state string, offline bool) (dir string, identity ed25519.PrivateKey) {
	t.Helper()
	dir = filepath.Join(state, "seal")
	file := filepath.Join(t.TempDir(), "identity.pem")
	identity, err := sealkeys.WriteIdentity(file)
	if err != nil {
		t.Fatal(err)
	}
	set, err := sealkeys.New([]string{sealedName}, nil, sealkeys.Pin(identity))
	if err == nil {
		err = sealkeys.Locked(dir, func() error {
			return errors.Join(set.Rotate(time.Now(), false), set.Sign(time.Now(), identity), sealkeys.Save(dir, set))
		})
	}
	if err == nil && !offline {
		err = os.Rename(file, filepath.Join(dir, "identity.pem"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, identity
}

func TestSealRenewsByItself(t *testing.T) {
	for _, name := range []string{"in memory", "on disk"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				state := ""
				if name == "on disk" {
					state = t.TempDir()
					onDisk(t, state, false)
				}
				s, err := newSealedServer(t, state, "")
				if err != nil {
					t.Fatal(err)
				}
				pins := s.plan.sealing.set.Pins
				door := s.door.Load()
				for range 100 {
					s.days(1)
					if s.left() < 6*day || len(s.plan.sealing.set.Keys) > 2 {
						t.Fatalf("%s left, %d keys", s.left(), len(s.plan.sealing.set.Keys))
					}
				}
				if s.door.Load() != door || len(s.plan.sealing.set.Pins) != 1 || s.plan.sealing.set.Pins[0] != pins[0] {
					t.Error("another door, or another pin")
				}
				if n := s.said("sealing keys loaded"); n < 4 || n > 9 {
					t.Errorf("said %d times that keys were loaded", n)
				}
				if state == "" {
					return
				}
				set, err := sealkeys.Load(filepath.Join(state, "seal"))
				if err != nil || set.Generation != s.plan.sealing.set.Generation || set.Over(time.Now()) {
					t.Errorf("on disk: %+v, %v", set, err)
				}
			})
		})
	}
}

// TestSealWarns: without the identity the server warns once a day in the last
// week, removes what is over, and goes on.
func TestSealWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := t.TempDir()
		dir, identity := onDisk(t, state, true)
		s, err := newSealedServer(t, state, "")
		if err != nil {
			t.Fatal(err)
		}
		if s.days(22); s.said("end soon") != 0 {
			t.Error("warned too early")
		}
		if s.days(7); s.said("end soon") < 6 {
			t.Error("not warned")
		}
		s.days(2)
		if s.said("sealing keys are over") == 0 || s.left() > 0 {
			t.Error("not told of the end")
		}
		set, err := sealkeys.Load(dir)
		if err != nil || len(set.Keys) != 0 {
			t.Errorf("a key that is over is on disk: %v", err)
		}
		if _, err := newSealedServer(t, state, ""); err == nil || !strings.Contains(err.Error(), "keys rotate") {
			t.Errorf("started with keys that are over: %v", err)
		}
		err = sealkeys.Locked(dir, func() error {
			return errors.Join(set.Rotate(time.Now(), true), sealkeys.Save(dir, set))
		})
		if err != nil {
			t.Fatal(err)
		}
		if s.days(1); s.left() > 0 {
			t.Error("keys in force that nobody signed")
		}
		err = sealkeys.Locked(dir, func() error {
			return errors.Join(set.Sign(time.Now(), identity), sealkeys.Save(dir, set))
		})
		if err != nil {
			t.Fatal(err)
		}
		s.log.Reset()
		if s.days(1); s.left() < 28*day || s.said("sealing keys loaded") != 1 {
			t.Errorf("the new keys are not in force: %s left", s.left())
		}
	})
}

// TestSealKeepsGoodKeys: what cannot be read or written later does not take the
// keys in force away.
func TestSealKeepsGoodKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := t.TempDir()
		dir, _ := onDisk(t, state, false)
		s, err := newSealedServer(t, state, "")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "ring.json")
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 24 { // two minutes, in the rhythm of the upkeep
			time.Sleep(upkeepEvery)
			s.keepSealing(time.Now())
		}
		if n := s.said("the old ones stay"); n == 0 || n > 3 {
			t.Errorf("said %d times in two minutes that the file is damaged", n)
		}
		if s.left() < 28*day {
			t.Errorf("%s left", s.left())
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(resealAgain)
		if s.keepSealing(time.Now()); s.said("sealing keys loaded") != 1 {
			t.Error("not loaded after it was mended")
		}
	})
}

func TestSealNamesAndSuites(t *testing.T) {
	const all = "sealing: {authorities: [\"app.example.com:443\", \"www.example.com:443\"], suites: [MLKEM768-X25519, X25519]}\n"
	state := t.TempDir()
	dir, _ := onDisk(t, state, false)
	s, err := newSealedServer(t, state, all)
	if err != nil {
		t.Fatal(err)
	}
	set := s.plan.sealing.set
	if len(set.Documents) != 2 || len(set.Keys) != 2 || !set.Signed() || len(s.snapshotEnds()) != 2 {
		t.Errorf("got %+v", set)
	}
	if _, err = newSealedServer(t, state, "sealing: {suites: [MLKEM768-X25519]}\n"); err != nil {
		t.Fatal(err)
	}
	if set, err = sealkeys.Load(dir); err != nil || len(set.Keys) != 1 || len(set.Authorities) != 2 {
		t.Errorf("after a suite was left out: %+v, %v", set, err)
	}
	if _, err := newSealedServer(t, t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "sallyport keys generate --dir ") {
		t.Errorf("without keys: %v", err)
	}
}

func (s *sealedServer) snapshotEnds() map[string]time.Time { return s.plan.sealing.ends() }

// TestCheckWritesNothing: a check of the configuration leaves keys as they are,
// also where a start would renew them.
func TestCheckWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := t.TempDir()
		dir, _ := onDisk(t, state, false)
		s, err := newSealedServer(t, state, "")
		if err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(filepath.Join(dir, "ring.json"))
		time.Sleep(25 * day)
		if err := Check(s.options.File); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * day) // they are over, and a start would make others
		if err := Check(s.options.File); err != nil {
			t.Fatal(err)
		}
		after, _ := os.ReadFile(filepath.Join(dir, "ring.json"))
		if !bytes.Equal(before, after) {
			t.Error("the keys changed")
		}
	})
}
