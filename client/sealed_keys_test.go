package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/seal"
)

// The client with pins, and the lists of sealing keys that it is shown.

// shelf is a memory of generations beyond a program.
type shelf struct {
	kept map[string]uint32
	err  error
	log  []string
}

func (s *shelf) Load(_ context.Context, authority string) (uint32, error) {
	return s.kept[authority], s.err
}

func (s *shelf) Store(_ context.Context, authority string, generation uint32) error {
	s.log = append(s.log, authority)
	s.kept[authority] = generation
	return nil
}

// TestGenerations: no list is accepted that is older than one that was.
func TestGenerations(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		kept := &shelf{kept: map[string]uint32{}}
		again := func() error {
			o.Seal = &client.Seal{Pins: o.Seal.Pins, Device: o.Seal.Device, Generations: kept}
			c, err := client.Dial(t.Context(), doorURL, &o)
			if err == nil {
				closeAll(t, c)
			}
			return err
		}
		for range 2 {
			if err := again(); err != nil {
				t.Error(err)
			}
		}
		if kept.kept[sealedAuthority] != 1 || len(kept.log) != 1 {
			t.Errorf("kept %v by %q", kept.kept, kept.log)
		}
		same := o
		closeAll(t, dialSealed(t, same))
		before, _ := b.counts()
		closeAll(t, dialSealed(t, same))
		kept.kept[sealedAuthority] = 2 // by another program
		if _, err := client.Dial(t.Context(), doorURL, &same); seal.FaultOf(err) != seal.FaultDocument {
			t.Errorf("a list of this program that is too old now: got %v", err)
		}
		if lists, _ := b.counts(); lists != before+1 {
			t.Errorf("%d lists", lists-before)
		}
		if err := again(); seal.FaultOf(err) != seal.FaultDocument {
			t.Errorf("an older list: got %v", err)
		}
		kept.err = errors.New("no disk")
		if err := again(); seal.FaultOf(err) != seal.FaultDocument || !strings.Contains(err.Error(), "no disk") {
			t.Errorf("no memory: got %v", err)
		}
		if _, n := b.counts(); n != 4 {
			t.Errorf("%d handshakes", n)
		}
	})
}

// TestSealedKeysFromAFile: Keys takes the place of the endpoint.
func TestSealedKeysFromAFile(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		var list []byte
		if raw, err := io.ReadAll(readerOf(b.site)); err != nil {
			t.Fatal(err)
		} else {
			list = raw
		}
		o.Seal.Keys = func(context.Context, bool) ([]byte, error) { return list, nil }
		closeAll(t, dialSealed(t, o))
		if lists, _ := b.counts(); lists != 0 {
			t.Errorf("%d lists were fetched", lists)
		}
	})
}

func readerOf(s *site) io.Reader {
	r, _ := http.NewRequest("GET", "https://app.example.com/.well-known/sallyport-seal", nil)
	r.RequestURI = r.URL.Path
	w := &recorder{header: http.Header{}}
	s.door.ServeHTTP(w, r)
	return &w.body
}

type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(int) {}

func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// TestKeysOutlived: a list that has ended, or whose keys have, is not used to the
// end of its five minutes.
func TestKeysOutlived(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		for _, life := range [][2]time.Duration{{time.Minute, time.Hour}, {time.Hour, time.Minute}} {
			now := time.Now()
			key, err := seal.GenerateKey(seal.Hybrid, now, now.Add(life[0]))
			if err != nil {
				t.Fatal(err)
			}
			short := b.sealer.sign(seal.Document{
				Authority: sealedAuthority, Generation: 1, Issued: now, Expires: now.Add(life[1]), Keys: []seal.Entry{key.Entry()},
			})
			b.set(func(b *between) { b.list = func() (int, string, []byte) { return 200, "", short } })
			if _, err := client.Dial(t.Context(), doorURL, &o); err == nil {
				t.Error("a door that does not have the key")
			}
			b.set(func(b *between) { b.list = nil })
			time.Sleep(time.Minute)
			before, _ := b.counts()
			closeAll(t, dialSealed(t, o))
			if lists, _ := b.counts(); lists != before+1 {
				t.Errorf("%d lists", lists-before)
			}
			time.Sleep(5*time.Minute + time.Second)
		}
	})
}

// TestSuites: what was named is used, and so is the padding.
func TestSuites(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		b.site.stop(time.Second)
		classical := b.sealer.keys(seal.Classical, 2)
		again := b.config(sallyport.SealRequired, 2, nil)
		b.site.start(func(c *sallyport.Config) {
			again(c)
			c.Sealing = classical
		})
		o.Seal.Suites, o.Seal.Padding = []seal.Suite{seal.Hybrid, seal.Classical}, seal.Exact
		c := dialSealed(t, o)
		if err := c.Send(t.Context(), text("x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if hello, last := b.sizes[0], b.sizes[len(b.sizes)-1]; hello != 91 || last != 1+3+2+16 {
			t.Errorf("messages of %v bytes", b.sizes)
		}
		closeAll(t, c)
	})
}

// TestKeyDocuments_AT28: lists of keys that a client does not take, and what it
// asks for them.
func TestKeyDocuments_AT28(t *testing.T) {
	for _, tt := range []struct {
		name  string
		list  func(b *between, real []byte) (status int, header string, body []byte)
		fault seal.Fault
	}{
		{"the door's", nil, ""},
		{"of another identity", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", newSealer(b.sealer.t).keys(seal.Hybrid, 9).Document
		}, seal.FaultPin},
		{"with a signature that is wrong", func(_ *between, real []byte) (int, string, []byte) {
			real[len(real)-1] ^= 1
			return 200, "", real
		}, seal.FaultPin},
		{"with another key", func(_ *between, real []byte) (int, string, []byte) {
			real[200] ^= 1
			return 200, "", real
		}, seal.FaultPin},
		{"of another place", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.otherList(func(d *seal.Document) { d.Authority = "app.example.com:8443" })
		}, seal.FaultDocument},
		{"that has ended", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.otherList(func(d *seal.Document) { d.Issued, d.Expires = d.Issued.Add(-time.Hour), time.Now() })
		}, seal.FaultDocument},
		{"of the day after tomorrow", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.otherList(func(d *seal.Document) { d.Issued, d.Expires = d.Issued.Add(25*time.Hour), d.Expires.Add(25*time.Hour) })
		}, seal.FaultDocument},
		{"with keys of a suite that was not named", func(b *between, _ []byte) (int, string, []byte) {
			return 200, "", b.sealer.keys(seal.Classical, 9).Document
		}, seal.FaultDocument},
		{"larger than any", func(_ *between, real []byte) (int, string, []byte) {
			return 200, "", append(real, make([]byte, 1<<20)...)
		}, seal.FaultDocument},
		{"of nothing", func(*between, []byte) (int, string, []byte) { return 200, "", nil }, seal.FaultDocument},
		{"that is elsewhere", func(*between, []byte) (int, string, []byte) {
			return 302, "Location: http://app.example.com/.well-known/sallyport-seal?2\r\n", nil
		}, seal.FaultDocument},
		{"that is not there", func(*between, []byte) (int, string, []byte) { return 404, "", nil }, seal.FaultDocument},
		{"that compresses", func(_ *between, real []byte) (int, string, []byte) {
			return 200, "Content-Encoding: gzip\r\n", real[1:]
		}, seal.FaultDocument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
				o.Header = http.Header{"X-A": {"not for the list"}}
				if tt.list != nil {
					b.list = func() (int, string, []byte) { return tt.list(b, b.otherList(func(*seal.Document) {})) }
				}
				c, err := client.Dial(t.Context(), doorURL, &o)
				lists, handshakes := b.counts()
				if tt.fault == "" {
					if err != nil {
						t.Fatal(err)
					}
					for _, field := range []string{"X-A", "Accept-Encoding"} {
						if strings.Contains(b.seen.String()[:strings.Index(b.seen.String(), "\r\n\r\n")], field) {
							t.Errorf("the list was asked for with %s", field)
						}
					}
					closeAll(t, c)
					return
				}
				synctest.Wait()
				if b.took > 200<<10 {
					t.Errorf("%d bytes of it were taken", b.took)
				}
				if err == nil || seal.FaultOf(err) != tt.fault || lists != 1 || handshakes != 0 {
					t.Errorf("got %v after %d lists and %d handshakes, want %s", err, lists, handshakes, tt.fault)
				}
			})
		})
	}
}

// otherList is a list of a higher generation, with a key that the door does not have.
func (b *between) otherList(change func(*seal.Document)) []byte {
	key, err := seal.GenerateKey(seal.Hybrid, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		b.sealer.t.Fatal(err)
	}
	d := seal.Document{Authority: sealedAuthority, Generation: 2, Issued: time.Now(), Expires: time.Now().Add(24 * time.Hour), Keys: []seal.Entry{key.Entry()}}
	change(&d)
	return b.sealer.sign(d)
}

// TestKeysRotate: a list from before a rotation is fetched anew, once.
func TestKeysRotate(t *testing.T) {
	atSealed(t, sallyport.SealRequired, nil, func(t *testing.T, b *between, o client.Options) {
		asked := 0
		o.Token = func(context.Context, client.Why) (string, error) { asked++; return "ada@key", nil }
		closeAll(t, dialSealed(t, o))
		closeAll(t, dialSealed(t, o))
		if lists, _ := b.counts(); lists != 1 {
			t.Errorf("%d lists for two connections", lists)
		}
		old := b.sealer.keys(seal.Hybrid, 1)
		b.site.stop(time.Second)
		b.site.start(b.config(sallyport.SealRequired, 2, nil))
		closeAll(t, dialSealed(t, o))
		if lists, handshakes := b.counts(); lists != 2 || handshakes != 4 || asked != 3 {
			t.Errorf("%d lists, %d handshakes, %d credentials", lists, handshakes, asked)
		}
		if !strings.Contains(b.seen.String(), "Cache-Control: no-cache") {
			t.Error("the new list may have come from a cache")
		}
		b.set(func(b *between) { b.list = func() (int, string, []byte) { return 200, "", old.Document } })
		time.Sleep(5*time.Minute + time.Second)
		if _, err := client.Dial(t.Context(), doorURL, &o); seal.FaultOf(err) != seal.FaultDocument {
			t.Errorf("an older list: got %v", err)
		}
		b.set(func(b *between) {
			b.list = func() (int, string, []byte) { return 200, "", b.otherList(func(*seal.Document) {}) }
		})
		before, _ := b.counts()
		_, err := client.Dial(t.Context(), doorURL, &o)
		refused, ok := errors.AsType[*client.RefusedError](err)
		if lists, _ := b.counts(); !ok || refused.Reason != deny.SealKeys || lists != before+2 {
			t.Errorf("keys that the door never had: got %v after %d lists", err, lists-before)
		}
	})
}
