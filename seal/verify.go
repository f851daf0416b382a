package seal

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"
)

// clockLeeway is by how much a client's clock may be behind the server's. There
// is none at the end of a key or document: what is over is over.
const clockLeeway = 24 * time.Hour

// Policy is what a client asks of a key document.
type Policy struct {
	// Pins are the identities that the client trusts: at least one, better two,
	// the second kept offline for the day on which the first must go.
	Pins []Pin

	// Authority is whom the client means to talk to: host and port of its URL.
	Authority string

	// Generation is the highest one that the client ever accepted from this
	// authority, 0 for none. An older document is refused.
	Generation uint32

	// Now is the client's clock.
	Now time.Time
}

// Verify returns the document in raw if one of the pinned identities signed it,
// for this authority, and it is neither over nor older than one accepted before.
// It fails with FaultPin if no pinned identity signed it, else with FaultDocument.
func Verify(raw []byte, p Policy) (Document, error) {
	d, body, sigs, err := parseDocument(raw)
	if err != nil {
		return Document{}, faultBy(FaultDocument, err)
	}
	signed := labelled(labelKeys, body)
	known := false
	for _, s := range sigs {
		if slices.Contains(p.Pins, PinOf(s.identity)) {
			// A pinned identity whose signature is wrong condemns the whole: no honest signer made it.
			if !ed25519.Verify(s.identity, signed, s.sig) {
				return Document{}, fault(FaultPin, "the signature of a pinned identity does not verify")
			}
			known = true
		}
	}
	switch {
	case !known:
		return Document{}, fault(FaultPin, "no pinned identity signed the document")
	case d.Authority != p.Authority:
		return Document{}, faultBy(FaultDocument, fmt.Errorf("for %q, not %q", d.Authority, p.Authority))
	case d.Generation < p.Generation:
		return Document{}, faultBy(FaultDocument, fmt.Errorf("generation %d after %d", d.Generation, p.Generation))
	case !p.Now.Before(d.Expires):
		return Document{}, faultBy(FaultDocument, fmt.Errorf("expired at %v", d.Expires))
	case p.Now.Add(clockLeeway).Before(d.Issued):
		return Document{}, faultBy(FaultDocument, fmt.Errorf("issued at %v", d.Issued))
	}
	return d, nil
}

// Pick returns the key to use at now: of the first suite, in the order given, of
// which the document lists a key that is in its time; among those the youngest
// that has begun. Without suites it is [Hybrid] alone. It fails with
// FaultDocument if there is none: a client never falls back to what it was not told.
func (d Document) Pick(now time.Time, suites ...Suite) (Entry, error) {
	if len(suites) == 0 {
		suites = []Suite{Hybrid}
	}
	for _, s := range suites {
		var best *Entry
		for i := range d.Keys {
			e := &d.Keys[i]
			if e.Suite != s || !now.Before(e.NotAfter) || now.Add(clockLeeway).Before(e.NotBefore) {
				continue
			}
			if best == nil || better(e, best, now) {
				best = e
			}
		}
		if best != nil {
			return *best, nil
		}
	}
	return Entry{}, fault(FaultDocument, fmt.Sprintf("no key in its time for %v", suites))
}

// better says whether a is to be used rather than b: begun before not begun,
// then the younger.
func better(a, b *Entry, now time.Time) bool {
	if begunA, begunB := !now.Before(a.NotBefore), !now.Before(b.NotBefore); begunA != begunB {
		return begunA
	} else if !begunA {
		return a.NotBefore.Before(b.NotBefore) // the nearest
	}
	return a.NotBefore.After(b.NotBefore)
}
