// Package deny is the one table of reasons for which a handshake is refused or
// a connection ends.
//
// The table is spec/reasons.json. A Go constant, the close code on the wire
// (RFC 6455, section 7.4), the HTTP status before an upgrade, the behaviour of
// our clients, the close code of the backend leg and the label of every metric
// come from the same row. What a peer is told is a constant of this table;
// the cause stays private, for the log.
package deny

import (
	"errors"
	"strings"
)

//go:generate go run ./gen

// Reason is a row of the table. The zero Reason is none.
type Reason uint8

// Client is what a well-behaved client does after a close with a reason.
type Client string

const (
	Never   Client = "never"    // do not connect again
	Reauth  Client = "reauth"   // fetch a new credential, then connect
	Later   Client = "later"    // connect again after a back-off
	NextUse Client = "next-use" // connect again when there is something to send
)

type row struct {
	code, title    string
	close, backend uint16
	status         int
	client         Client
	sentence       string
}

// Code is the dotted name: stable, a metric label and part of the close reason.
func (r Reason) Code() string { return table[r].code }

// Title is the human half of the close reason.
func (r Reason) Title() string { return table[r].title }

// Close is the WebSocket close code for the client.
func (r Reason) Close() uint16 { return table[r].close }

// Status is the HTTP status when the reason applies before an upgrade.
func (r Reason) Status() int { return table[r].status }

// Client is what our clients do after it.
func (r Reason) Client() Client { return table[r].client }

// Backend is the close code that the backend leg of a relay gets.
func (r Reason) Backend() uint16 { return table[r].backend }

// Sentence is constant text that is safe to show to anybody.
func (r Reason) Sentence() string { return table[r].sentence }

func (r Reason) String() string { return r.Code() }

// maxCloseReason is the room for text in a close frame: a control frame carries
// at most 125 bytes, two of them the code (RFC 6455, section 5.5).
const maxCloseReason = 123

// CloseReason is the text of the close frame: "<title>;<code>[;k=v…]". Pairs
// that would make it longer than 123 bytes are left out. Values must be
// constants or numbers of ours, never anything of a user.
func (r Reason) CloseReason(pairs ...string) string {
	s := r.Title() + ";" + r.Code()
	for _, p := range pairs {
		if len(s)+1+len(p) > maxCloseReason {
			break
		}
		s += ";" + p
	}
	return s
}

// Parse finds the reason in the text of a close frame of the form that
// CloseReason writes. ok is false for any other text.
func Parse(closeReason string) (r Reason, ok bool) {
	title, rest, found := strings.Cut(closeReason, ";")
	if !found {
		return 0, false
	}
	code, _, _ := strings.Cut(rest, ";")
	r, ok = byCode[code]
	return r, ok && r.Title() == title
}

// All returns every reason in the order of the table.
func All() []Reason {
	all := make([]Reason, 0, len(table)-1)
	for r := 1; r < len(table); r++ {
		all = append(all, Reason(r))
	}
	return all
}

var byCode = func() map[string]Reason {
	m := make(map[string]Reason, len(table))
	for _, r := range All() {
		m[r.Code()] = r
	}
	return m
}()

// A Denial is an error with a reason: the reason for the peer, the cause for the log.
type Denial struct {
	Reason Reason
	Cause  error // may be nil; never shown to the peer
}

func (d *Denial) Error() string {
	if d.Cause == nil {
		return d.Reason.Code()
	}
	return d.Reason.Code() + ": " + d.Cause.Error()
}

func (d *Denial) Unwrap() error { return d.Cause }

// Because returns a denial for reason r with a private cause, which may be nil.
func Because(r Reason, cause error) error { return &Denial{Reason: r, Cause: cause} }

// Of returns the reason of the first denial in err's tree, or Internal if there
// is none. It returns 0 for a nil error.
func Of(err error) Reason {
	if err == nil {
		return 0
	}
	if d, ok := errors.AsType[*Denial](err); ok {
		return d.Reason
	}
	return Internal
}
