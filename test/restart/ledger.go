package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ledger is the referee. The balancer tells it of every socket, the backend of
// every connection and message; it believes nobody else.
type ledger struct {
	mu      sync.Mutex // guards everything
	people  map[string]*person
	opened  []moment
	tries   int
	refused int
	faults  []string
}

// moment is a connection that opened.
type moment struct {
	at    time.Time
	node  *node
	first bool // the first of its client
}

// person is one client.
type person struct {
	sockets   []*socket // through the balancer, both legs up, oldest first
	most      int       // sockets at a time
	heard     map[int]int
	last      int // number of the last message
	disorder  int // messages that came after a later one
	been      bool
	alone     time.Time       // since when there is no connection; zero: there is one
	gaps      []time.Duration // without a connection
	openCount int
}

// socket is one TCP connection of a client.
type socket struct {
	node *node
	open bool // the backend has seen it
	over bool
}

func newLedger() *ledger { return &ledger{people: map[string]*person{}} }

// maxFaults bounds how many are kept: one is enough to fail.
const maxFaults = 20

func (l *ledger) fault(format string, a ...any) {
	if len(l.faults) < maxFaults {
		l.faults = append(l.faults, fmt.Sprintf(format, a...))
	}
}

func (l *ledger) person(name string) *person {
	p := l.people[name]
	if p == nil {
		p = &person{heard: map[int]int{}}
		l.people[name] = p
	}
	return p
}

// attempt notes a socket that a client makes: one at a time, and a second
// connection only if the node of the first is about to stop.
func (l *ledger) attempt(name string, n *node) *socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.person(name)
	l.tries++
	for _, other := range p.sockets {
		switch {
		case !other.open:
			l.fault("%s made two attempts at a time", name)
		case !other.node.leaving.Load():
			l.fault("%s made a second connection while the first was on %s, which stays", name, other.node.name)
		}
	}
	s := &socket{node: n}
	p.sockets = append(p.sockets, s)
	p.most = max(p.most, len(p.sockets))
	return s
}

// ended notes that a leg of the socket is gone.
func (l *ledger) ended(name string, s *socket, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	p := l.person(name)
	p.sockets = slices.DeleteFunc(p.sockets, func(other *socket) bool { return other == s })
	if !s.open {
		l.refused++
		return
	}
	if p.openCount--; p.openCount == 0 {
		p.alone = now
	}
}

// arrived notes that a connection of the client reached the backend: that of the
// attempt under way.
func (l *ledger) arrived(name string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.person(name)
	i := slices.IndexFunc(p.sockets, func(s *socket) bool { return !s.open })
	if i < 0 {
		return // it was given up meanwhile
	}
	s := p.sockets[i]
	s.open = true
	l.opened = append(l.opened, moment{now, s.node, !p.been})
	p.been = true
	if p.openCount++; p.openCount == 1 && !p.alone.IsZero() {
		p.gaps = append(p.gaps, now.Sub(p.alone))
		p.alone = time.Time{}
	}
}

// heardFrom notes a message at the backend.
func (l *ledger) heardFrom(name string, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.person(name)
	p.heard[number]++
	if number < p.last {
		p.disorder++
	}
	p.last = max(p.last, number)
}

// homes counts the clients that have a connection to a node that stays.
func (l *ledger) homes() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.people {
		if slices.ContainsFunc(p.sockets, func(s *socket) bool { return s.open && !s.node.leaving.Load() }) {
			n++
		}
	}
	return n
}

// on counts the connections to a node.
func (l *ledger) on(n *node) (count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.people {
		for _, s := range p.sockets {
			if s.node == n && s.open {
				count++
			}
		}
	}
	return count
}

// since are the connections opened from a time on.
func (l *ledger) since(from time.Time) (moments []moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.opened {
		if !m.at.Before(from) {
			moments = append(moments, m)
		}
	}
	return moments
}

// account is what a client says of its messages: it tried numbers 1 to Sent.
type account struct {
	Name     string   `json:"name"`
	Sent     int      `json:"sent"`
	Rejected []int    `json:"rejected"` // by send
	Unknown  []int    `json:"unknown"`
	Answers  int      `json:"answers"` // of the backend that it received
	Trouble  []string `json:"trouble"` // what it thinks is wrong
}

// sums are the outcome of a comparison.
type sums struct {
	accepted, once, unknown, unknownArrived, rejected int
	lost, twice, foreign, disorder, answers           int
}

// compare settles the accounts. Every message that send accepted must be at the
// backend exactly once, unless the client said that it does not know; and what it
// rejected must not be there.
func (l *ledger) compare(accounts []account) (s sums, faults []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bad := func(format string, a ...any) {
		if len(faults) < maxFaults {
			faults = append(faults, fmt.Sprintf(format, a...))
		}
	}
	said := map[string]bool{}
	for _, a := range accounts {
		said[a.Name] = true
		p := l.person(a.Name)
		rejected, unknown := set(a.Rejected), set(a.Unknown)
		s.rejected += len(rejected)
		s.unknown += len(unknown)
		s.answers += a.Answers
		s.disorder += p.disorder
		for n := 1; n <= a.Sent; n++ {
			times := p.heard[n]
			switch {
			case rejected[n]:
				if times > 0 {
					bad("message %d of %s was rejected and is at the backend", n, a.Name)
				}
				continue
			case times > 1:
				s.twice++
				bad("message %d of %s is at the backend %d times", n, a.Name, times)
			case times == 1:
				s.once++
			case !unknown[n]:
				s.lost++
				bad("message %d of %s is lost", n, a.Name)
			}
			s.accepted++
			if unknown[n] && times > 0 {
				s.unknownArrived++
			}
		}
		for n := range p.heard {
			if n < 1 || n > a.Sent {
				s.foreign++
				bad("message %d of %s is at the backend, and was never sent", n, a.Name)
			}
		}
		for n := range unknown {
			if n < 1 || n > a.Sent || rejected[n] {
				bad("message %d of %s is reported as unknown, and was not accepted", n, a.Name)
			}
		}
		for _, t := range a.Trouble {
			bad("%s: %s", a.Name, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.people)) {
		if !said[name] {
			bad("%s was seen, and gives no account", name)
		}
	}
	return s, faults
}

func set(numbers []int) map[int]bool {
	m := make(map[int]bool, len(numbers))
	for _, n := range numbers {
		m[n] = true
	}
	return m
}

// life sums up the connections.
type life struct {
	tries, opened, refused, most int
	without                      int           // clients that had none for a time
	longest                      time.Duration // such a time
	gaps                         []time.Duration
}

func (l *ledger) life() (s life, faults []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s = life{tries: l.tries, opened: len(l.opened), refused: l.refused}
	for _, p := range l.people {
		s.most = max(s.most, p.most)
		if len(p.gaps) > 0 {
			s.without++
		}
		for _, g := range p.gaps {
			s.longest = max(s.longest, g)
			s.gaps = append(s.gaps, g)
		}
	}
	slices.Sort(s.gaps)
	return s, slices.Clone(l.faults)
}
