package guard

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// RevocationsKept is how long a revocation is remembered. A credential that
// could live longer is refused at admission.
const RevocationsKept = 7 * 24 * time.Hour

// maxRevocations bounds the memory of revocations; adding more fails.
const maxRevocations = 1_000_000

// Holder is what revocations are matched against: who holds a connection.
type Holder struct {
	Issuer, Subject string
	Session         string
	Credential      string
	IssuedAt        time.Time // zero counts as 1970
}

// Match names holders. Every field that is set must fit; a Match without any
// names nobody.
type Match struct {
	Issuer       string    `json:"issuer,omitempty"`
	Subject      string    `json:"subject,omitempty"`
	Session      string    `json:"session,omitempty"`
	Credential   string    `json:"credential,omitempty"`
	IssuedBefore time.Time `json:"issued_before,omitzero"` // compared in whole seconds, inclusive
}

// Check refuses a Match that names nobody, or a subject without its issuer:
// the user is (issuer, subject).
func (m Match) Check() error {
	if m == (Match{}) {
		return errors.New("a revocation must name a subject, a session, a credential or a time")
	}
	if m.Subject != "" && m.Issuer == "" {
		return errors.New("a subject is named together with its issuer")
	}
	return nil
}

// Fits reports whether m names h.
func (m Match) Fits(h Holder) bool {
	if m == (Match{}) {
		return false
	}
	fits := func(want, got string) bool { return want == "" || want == got }
	return fits(m.Issuer, h.Issuer) && fits(m.Subject, h.Subject) &&
		fits(m.Session, h.Session) && fits(m.Credential, h.Credential) &&
		(m.IssuedBefore.IsZero() || issuedAt(h) <= m.IssuedBefore.Unix())
}

func issuedAt(h Holder) int64 {
	if h.IssuedAt.IsZero() {
		return 0
	}
	return h.IssuedAt.Unix()
}

// Revocation is a Match and when it was made.
type Revocation struct {
	Match
	At time.Time `json:"at"`
}

// RevocationStore keeps revocations beyond a restart.
type RevocationStore interface {
	// Add returns after r is safe: a crash directly afterwards does not lose it.
	Add(ctx context.Context, r Revocation) error
	// Load returns every revocation that is younger than [RevocationsKept].
	Load(ctx context.Context) ([]Revocation, error)
}

// Revocations answers whether a holder is revoked. Revoking and renewing take
// the same lock, so that revoke is final.
type Revocations struct {
	store RevocationStore // nil: memory only

	generation atomic.Uint64 // counts Adds

	mu          sync.RWMutex // guards the index; held for writing from the store's Add to the index's
	credentials map[string][]Revocation
	sessions    map[string][]Revocation
	subjects    map[[2]string][]Revocation
	rest        []Revocation // by issuer or time only
	count       int
	pruned      time.Time
}

// NewRevocations loads what store has. A nil store keeps revocations in memory
// only.
func NewRevocations(ctx context.Context, store RevocationStore) (*Revocations, error) {
	r := &Revocations{
		store:       store,
		credentials: map[string][]Revocation{},
		sessions:    map[string][]Revocation{},
		subjects:    map[[2]string][]Revocation{},
		pruned:      time.Now(),
	}
	if store == nil {
		return r, nil
	}
	all, err := store.Load(ctx)
	if err != nil {
		return nil, err
	}
	for _, rev := range all {
		r.index(rev)
	}
	return r, nil
}

// Add revokes. It returns when the store has it; only then does anybody see it.
func (r *Revocations) Add(ctx context.Context, m Match) error {
	if err := m.Check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.prune(now)
	if r.count >= maxRevocations {
		return errors.New("too many revocations")
	}
	rev := Revocation{Match: m, At: now}
	if r.store != nil {
		if err := r.store.Add(ctx, rev); err != nil {
			return err
		}
	}
	r.index(rev)
	r.generation.Add(1)
	return nil
}

// Generation changes whenever something is revoked.
func (r *Revocations) Generation() uint64 { return r.generation.Load() }

// Revoked reports whether any revocation names h.
func (r *Revocations) Revoked(h Holder) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.revoked(h)
}

// Unless runs f if neither h nor any of also is revoked and keeps revocations out
// until f is done. It reports whether f ran.
func (r *Revocations) Unless(h Holder, f func(), also ...Holder) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.revoked(h) || slices.ContainsFunc(also, r.revoked) {
		return false
	}
	f()
	return true
}

func (r *Revocations) revoked(h Holder) bool {
	return anyFits(r.credentials[h.Credential], h) || anyFits(r.sessions[h.Session], h) ||
		anyFits(r.subjects[[2]string{h.Issuer, h.Subject}], h) || anyFits(r.rest, h)
}

func anyFits(list []Revocation, h Holder) bool {
	for _, rev := range list {
		if rev.Fits(h) {
			return true
		}
	}
	return false
}

func (r *Revocations) index(rev Revocation) {
	r.count++
	switch {
	case rev.Credential != "":
		r.credentials[rev.Credential] = append(r.credentials[rev.Credential], rev)
	case rev.Session != "":
		r.sessions[rev.Session] = append(r.sessions[rev.Session], rev)
	case rev.Subject != "":
		key := [2]string{rev.Issuer, rev.Subject}
		r.subjects[key] = append(r.subjects[key], rev)
	default:
		r.rest = append(r.rest, rev)
	}
}

// prune forgets, once an hour, what is older than RevocationsKept.
func (r *Revocations) prune(now time.Time) {
	if now.Sub(r.pruned) < time.Hour {
		return
	}
	r.pruned, r.count = now, 0
	old := func(rev Revocation) bool { return now.Sub(rev.At) > RevocationsKept }
	r.count += pruneMap(r.credentials, old) + pruneMap(r.sessions, old) + pruneMap(r.subjects, old)
	r.rest = keep(r.rest, old)
	r.count += len(r.rest)
}

func pruneMap[K comparable](m map[K][]Revocation, old func(Revocation) bool) (left int) {
	for k, list := range m {
		if list = keep(list, old); len(list) == 0 {
			delete(m, k)
		} else {
			m[k] = list
			left += len(list)
		}
	}
	return left
}

func keep(list []Revocation, old func(Revocation) bool) []Revocation {
	var kept []Revocation
	for _, rev := range list {
		if !old(rev) {
			kept = append(kept, rev)
		}
	}
	return kept
}
