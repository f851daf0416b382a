package guard

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/sallyport/sallyport/deny"
)

// Limits are the places of a whole door, counted over all its gates. The zero
// value of a field is its default.
type Limits struct {
	Connections int   // default 50,000
	PerAddress  int   // of one IPv4 address or IPv6 /64; default 256
	PerSubject  int   // of one (issuer, subject); default 16
	Buffered    int64 // bytes queued and half-received, over all connections; default 512 MiB
	Refusals    int   // refusals by close code that linger at once; default 256
}

// Fill returns l with its defaults, or all its mistakes at once.
func (l Limits) Fill() (Limits, error) {
	for _, f := range []struct {
		n   *int
		def int
	}{{&l.Connections, 50_000}, {&l.PerAddress, 256}, {&l.PerSubject, 16}, {&l.Refusals, 256}} {
		if *f.n == 0 {
			*f.n = f.def
		}
	}
	if l.Buffered == 0 {
		l.Buffered = 512 << 20
	}
	if min(l.Connections, l.PerAddress, l.PerSubject, l.Refusals) < 0 || l.Buffered < 0 {
		return l, errors.New("guard: limits must not be negative")
	}
	return l, nil
}

// Places is the ledger of connections: how many in all, from one address, of
// one subject. Its maps hold no more entries than there are connections.
type Places struct {
	mu        sync.Mutex // guards everything below
	limits    Limits
	taken     int
	addresses map[netip.Prefix]int
	subjects  map[[2]string]int
}

// NewPlaces returns an empty ledger; limits must have been filled.
func NewPlaces(limits Limits) *Places {
	return &Places{limits: limits, addresses: map[netip.Prefix]int{}, subjects: map[[2]string]int{}}
}

// SetLimits changes the limits for those who come later.
func (p *Places) SetLimits(limits Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = limits
}

// Admit takes a place for a connection from addr: guard.full if there is none,
// guard.crowded if the address has its share.
func (p *Places) Admit(addr netip.Addr) (*Place, error) {
	key := AddressKey(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.limits.Connections {
		return nil, deny.Because(deny.GuardFull, errors.New("limits.connections"))
	}
	if p.addresses[key] >= p.limits.PerAddress {
		return nil, deny.Because(deny.GuardCrowded, errors.New("limits.per_address"))
	}
	p.taken++
	p.addresses[key]++
	return &Place{places: p, address: key}, nil
}

// AddressKey is what an address counts as: an IPv4 address as itself, an IPv6 one
// as its /64, whose holder has 2^64 addresses.
func AddressKey(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // an invalid address is the zero prefix: all unknown count as one
	return prefix
}

// Place is one connection's slot in the ledger.
type Place struct {
	places  *Places
	address netip.Prefix

	// Guarded by places.mu.
	subject  [2]string
	bound    bool
	released bool
}

// Bind counts the place for a subject too: guard.crowded if it has its share.
// An empty subject counts for nobody.
func (pl *Place) Bind(issuer, subject string) error {
	if subject == "" {
		return nil
	}
	p := pl.places
	p.mu.Lock()
	defer p.mu.Unlock()
	key := [2]string{issuer, subject}
	if p.subjects[key] >= p.limits.PerSubject {
		return deny.Because(deny.GuardCrowded, errors.New("limits.per_subject"))
	}
	p.subjects[key]++
	pl.subject, pl.bound = key, true
	return nil
}

// Release gives the place back. Only the first call counts.
func (pl *Place) Release() {
	p := pl.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if pl.released {
		return
	}
	pl.released = true
	p.taken--
	decrement(p.addresses, pl.address)
	if pl.bound {
		decrement(p.subjects, pl.subject)
	}
}

func decrement[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] == 0 {
		delete(m, k)
	}
}
