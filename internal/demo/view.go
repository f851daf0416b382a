package demo

import (
	"context"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// Bounds of the view: how much is remembered, and of each text.
const (
	viewSize = 100
	viewText = 128
)

// sight is one thing that the door saw, as the page shows it. It holds no
// credential and no payload; Origin and Path are whatever a client sent.
type sight struct {
	N        uint64    `json:"n"`
	At       time.Time `json:"at"`
	What     string    `json:"what"` // refused, admitted, ended, issued, renewed
	Path     string    `json:"path"`
	Conn     string    `json:"conn,omitempty"` // first letters of its id
	Who      string    `json:"who,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Sentence string    `json:"sentence,omitempty"`
	Close    uint16    `json:"close,omitempty"`  // close code that the client got
	Status   int       `json:"status,omitempty"` // HTTP status that the client got
	Lasted   int64     `json:"lasted,omitempty"` // of a connection, in milliseconds
	By       string    `json:"by,omitempty"`     // who ended it
}

// view remembers the last sights and shows them to whoever watches.
type view struct{ recent[sight] }

func newView() *view { return &view{newRecent[sight](viewSize)} }

// note is the door's Observe. It does not block.
func (v *view) note(e sallyport.Event) {
	if (e.Gate == eventsGate || e.Gate == middleGate) && e.Kind != sallyport.Refused {
		return // the view does not show who views
	}
	s := sight{
		At: time.Now().UTC(), What: e.Kind.String(), Path: short(e.Path, viewText), Conn: short(e.Conn, 6),
		Who: short(e.Identity.Subject, viewText), Origin: short(e.Origin, viewText),
	}
	switch e.Kind {
	case sallyport.Refused:
		s.Status = e.Status
		if e.Status == 101 {
			s.Close = e.Reason.Close()
		}
	case sallyport.Ended:
		s.Close, s.Lasted, s.By = e.Reason.Close(), e.Lasted.Milliseconds(), e.By
	}
	if e.Reason != 0 {
		s.Reason, s.Sentence = e.Reason.Code(), e.Reason.Sentence()
	}
	v.add(func(n uint64) sight { s.N = n; return s })
}

// short cuts s at a character's boundary.
func short(s string, most int) string {
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func everybody(sight) bool { return true }

// watch is the route of the gate /events.
func (v *view) watch(ctx context.Context, c *sallyport.Conn) error {
	return v.show(ctx, c, "sights", everybody)
}
