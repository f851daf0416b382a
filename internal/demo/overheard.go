package demo

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/ws"
)

// Bounds of what the relay remembers: things, and bytes of each.
const (
	heardSize = 200
	heardText = 256
	heardHex  = 24
)

// heard is one thing that the relay saw, as the page shows it to whose it is.
type heard struct {
	session string

	N       uint64    `json:"n"`
	At      time.Time `json:"at"`
	Conn    int       `json:"conn"`
	What    string    `json:"what"` // opened, message, closed
	Way     way       `json:"way,omitempty"`
	Sealed  bool      `json:"sealed"`
	Size    int       `json:"size,omitempty"`    // of a message, in bytes
	Text    string    `json:"text,omitempty"`    // what it says, if that can be read
	Hex     string    `json:"hex,omitempty"`     // else how it begins
	Flipped bool      `json:"flipped,omitempty"` // the relay has changed it
	Before  string    `json:"before,omitempty"`  // what it said before
	Status  int       `json:"status,omitempty"`  // of a handshake's answer
	Cookie  bool      `json:"cookie,omitempty"`  // came with a handshake
	Code    uint16    `json:"code,omitempty"`    // of a close frame
}

// spoken is a message as people read it, or else how it begins.
func spoken(op ws.Opcode, message []byte) (text, head string) {
	if op == ws.Text {
		return short(string(bytes.TrimLeft(message, "\x00\x01")), heardText), ""
	}
	return "", hex.EncodeToString(message[:min(heardHex, len(message))])
}

// flip changes one bit of a message, and reports whether it has. Of one that can
// be read it picks one that nobody will notice: of the first digit of what was
// said, or its first letter. Of a sealed one any bit is as good.
func flip(message []byte, sealed bool) bool {
	if sealed {
		if len(message) == 0 {
			return false
		}
		message[len(message)/2] ^= 1
		return true
	}
	if bytes.HasPrefix(message, []byte{1}) { // the door's and the client's own
		return false
	}
	before := []byte(`"text":"`)
	i := bytes.Index(message, before)
	if i < 0 {
		return false
	}
	said := message[i+len(before):]
	if end := bytes.IndexByte(said, '"'); end >= 0 {
		said = said[:end]
	}
	if i := bytes.IndexByte(said, '\\'); i >= 0 { // what is escaped stays so
		said = said[:i]
	}
	for _, of := range []func(byte) bool{isDigit, isLetter} {
		for i, b := range said {
			for _, bit := range []byte{8, 1, 2} {
				if of(b) && of(b^bit) {
					said[i] ^= bit
					return true
				}
			}
		}
	}
	return false
}

func isDigit(b byte) bool  { return '0' <= b && b <= '9' }
func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

// overheard remembers the last things that the relay saw.
type overheard struct{ recent[heard] }

func newOverheard() *overheard { return &overheard{newRecent[heard](heardSize)} }

func (o *overheard) note(h heard) {
	h.At, h.Text, h.Before = time.Now().UTC(), short(h.Text, heardText), short(h.Before, heardText)
	o.add(func(n uint64) heard { h.N = n; return h })
}

func of(session string) func(heard) bool { return func(h heard) bool { return h.session == session } }

// watch is the route of the gate /middle: it shows what the relay sees of the
// visitor's own connections.
func (o *overheard) watch(ctx context.Context, c *sallyport.Conn) error {
	return o.show(ctx, c, "heard", of(c.Identity().Session))
}
