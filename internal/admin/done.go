package admin

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/guard"
)

// Done is something that an administrator did.
type Done struct {
	Action string // a constant word: connections.end, revocation, ticket, reload

	// About is whom it was done to: the filter of the request by its names, or
	// all=true; of a ticket, whom it is for. Never a ticket or a token.
	About []slog.Attr

	Ended int // connections
}

func (a *api) did(action string, ended int, about ...slog.Attr) {
	if a.Did != nil {
		a.Did(Done{action, about, ended})
	}
}

// texts makes attributes of names and values, leaving out what is empty.
func texts(pairs ...string) []slog.Attr {
	var out []slog.Attr
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, slog.String(pairs[i], pairs[i+1]))
		}
	}
	return out
}

// revoked are the attributes of a revocation.
func revoked(m guard.Match) []slog.Attr {
	out := texts("subject", m.Subject, "issuer", m.Issuer, "session", m.Session, "credential", m.Credential)
	if !m.IssuedBefore.IsZero() {
		out = append(out, slog.String("issued_before", m.IssuedBefore.UTC().Format(time.RFC3339)))
	}
	return out
}

// attributes are those of a filter, in the order of their names.
func (f filter) attributes() []slog.Attr {
	var out []slog.Attr
	for _, name := range slices.Sorted(maps.Keys(f.texts)) {
		out = append(out, slog.String(name, f.texts[name]))
	}
	if f.address.IsValid() {
		out = append(out, slog.String("address", f.address.String()))
	}
	return out
}
