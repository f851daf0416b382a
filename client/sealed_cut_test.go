package client

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// TestCutWhileMoving: a connection that is replaced may be cut where it would have
// ended, and the application is told that something may be missing.
func TestCutWhileMoving_SR97(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(d *sealedDoor, v *visitor, s *seal.Session) // … of the old connection, from the drain on
		slow  time.Duration                                    // … the new one is
		want  string
	}{
		{"it ends well", func(d *sealedDoor, v *visitor, s *seal.Session) {
			v.receive()
			r, err := s.End(nil, 1000, "")
			d.say(v, r, err)
			v.drop()
		}, 0, "connecting open"},
		{"cut at its end", func(d *sealedDoor, v *visitor, s *seal.Session) { v.receive() }, 0, "connecting open open(seal.truncated)"},
		{"a close frame at its end", func(d *sealedDoor, v *visitor, s *seal.Session) {
			v.receive()
			v.raw(ws.AppendClose(nil, ws.Server, 1000, ""))
			v.drop()
		}, 0, "connecting open open(seal.truncated)"},
		{"silent from then on", func(d *sealedDoor, v *visitor, s *seal.Session) { v.drop() }, 0, "connecting open open(seal.truncated)"},
		{"broken at its end", func(d *sealedDoor, v *visitor, s *seal.Session) {
			v.receive()
			d.say(v, make([]byte, 64), nil)
			v.drop()
		}, 0, "connecting open open(seal.broken)"},
		{"cut while the new one is made", func(d *sealedDoor, v *visitor, s *seal.Session) { time.Sleep(5 * time.Second) }, 9 * time.Second,
			"connecting open connecting(seal.truncated) open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d *sealedDoor
			hello := func(v *visitor) *seal.Session {
				s, _ := d.accept(v)
				r, err := s.Seal(nil, seal.Text, false, []byte(sealedHello))
				d.say(v, r, err)
				return s
			}
			bubble(t, func(t *testing.T, f *fakeDoor, o Options) {
				d = newSealedDoor(t)
				var told []string
				o.Seal, o.OnState = d.seal, func(s State) {
					what := string(s.Status)
					if s.Err != nil {
						what += "(" + string(seal.FaultOf(s.Err)) + ")"
					}
					told = append(told, what)
				}
				c := newClient(t, o)
				mustConnect(t, c)
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if got := strings.Join(told, " "); got != tt.want {
					t.Errorf("told %s, want %s", got, tt.want)
				}
				closeClient(t, c)
			}, func(v *visitor) {
				s := hello(v)
				r, err := s.Seal(nil, seal.Text, false, []byte("\x01"+`{"t":"drain","spread":1,"deadline":10}`))
				d.say(v, r, err)
				tt.leave(d, v, s)
			}, func(v *visitor) {
				time.Sleep(tt.slow)
				s := hello(v)
				v.receive()
				r, err := s.End(nil, 1000, "")
				d.say(v, r, err)
				v.drop()
			})
		})
	}
}

// TestMessagesCut: a stream of messages that was cut does not end like one that is
// complete, whoever said goodbye first.
func TestMessagesCut_SR97(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  bool // sealed
		want seal.Fault
	}{
		{"answered", true, ""},
		{"cut", false, seal.FaultTruncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d *sealedDoor
			bubble(t, func(t *testing.T, f *fakeDoor, o Options) {
				d = newSealedDoor(t)
				o.Seal = d.seal
				c := f.connect(o)
				c.goodbye(1000, "")
				var got error
				for _, err := range c.Messages(t.Context()) {
					got = err
				}
				if seal.FaultOf(got) != tt.want {
					t.Errorf("got %v, want %q", got, tt.want)
				}
				closeConn(t, c)
			}, func(v *visitor) {
				s, _ := d.accept(v)
				r, err := s.Seal(nil, seal.Text, false, []byte(sealedHello))
				d.say(v, r, err)
				v.receive()
				if tt.end {
					r, err = s.End(nil, 1000, "")
					d.say(v, r, err)
					v.drop()
				}
			})
		})
	}
}
