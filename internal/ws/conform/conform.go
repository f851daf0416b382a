// Package conform asks an endpoint every question of the rule suite that the
// WebSocket world has agreed on: the case groups 1 to 7, 9 and 10 of Autobahn,
// 301 cases under their own ids, written anew from RFC 6455.
//
// It stops drift: a codec, a server, or a relay in front of one, that has become
// lax or broken is named by the number of the case. An endpoint under test
// echoes every message. The suite plays the other role on a connection that is
// upgraded already, writes its frames itself and reads the answers with a reader
// of its own, which shares no code with the parser under test.
//
// The strict outcome of a case is the only one that counts: the right messages
// in the right order, nothing after them, failure at the first byte that is
// wrong, a close frame with the right code, and, from a server, the end of TCP.
//
// It does not test compression (groups 12 and 13), handshakes, or speed.
package conform

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Outcome is how an endpoint did in one case.
type Outcome uint8

const (
	Failed    Outcome = iota
	NonStrict         // tolerable by the RFC, but not what this project promises
	Strict
)

func (o Outcome) String() string { return [...]string{"failed", "non-strict", "strict"}[o] }

// Options choose cases and patience. The zero value runs all 301.
type Options struct {
	// Short leaves out the cases with messages over 1 MiB.
	Short bool
	// Match chooses cases by id. nil chooses all.
	Match func(id string) bool
	// Timeout bounds each wait for the endpoint. Default 10s.
	Timeout time.Duration
	// Pause is how long an endpoint is watched that owes nothing, and a hundredth of
	// how long one is waited for that must fail at once. Default 20ms.
	Pause time.Duration
	// Parallel is the number of cases that run at once. Default 4.
	Parallel int
}

// Result is the outcome of one case; Why explains all but Strict.
type Result struct {
	ID, Title string
	Outcome   Outcome
	Why       string
}

// Report holds the results in the order of the cases.
type Report []Result

// Strict counts the strict outcomes.
func (r Report) Strict() (n int) {
	for _, result := range r {
		if result.Outcome == Strict {
			n++
		}
	}
	return n
}

// Others are the results that are not strict.
func (r Report) Others() Report {
	return slices.DeleteFunc(slices.Clone(r), func(result Result) bool { return result.Outcome == Strict })
}

// String says "n of N strict" and lists the others by id, a line each.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d strict", r.Strict(), len(r))
	for _, result := range r.Others() {
		fmt.Fprintf(&b, "\n%-7s %-10s %s: %s", result.ID, result.Outcome, result.Title, result.Why)
	}
	return b.String()
}

// RunServer tests an echo endpoint in the role of the server. dial returns a new
// connection to it on which the handshake is done; it is called once per case,
// from several goroutines, and RunServer closes what it returns.
func RunServer(dial func() (net.Conn, error), o Options) Report { return run(true, dial, o) }

// RunClient tests an echo endpoint in the role of the client; the suite is the
// server. accept returns the next connection of it on which the handshake is
// done, in the same manner as for [RunServer].
func RunClient(accept func() (net.Conn, error), o Options) Report { return run(false, accept, o) }

func run(server bool, dial func() (net.Conn, error), o Options) Report {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Pause <= 0 {
		o.Pause = 20 * time.Millisecond
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	var chosen []Case
	for _, c := range Cases() {
		if (o.Match == nil || o.Match(c.ID)) && !(o.Short && c.Largest() > 1<<20) {
			chosen = append(chosen, c)
		}
	}
	report := make(Report, len(chosen))
	next := make(chan int)
	var workers sync.WaitGroup
	for range o.Parallel {
		workers.Go(func() {
			for i := range next {
				report[i] = Result{ID: chosen[i].ID, Title: chosen[i].Title}
				report[i].Outcome, report[i].Why = runCase(chosen[i], server, dial, o)
			}
		})
	}
	for i := range chosen {
		next <- i
	}
	close(next)
	workers.Wait()
	return report
}

func runCase(c Case, server bool, dial func() (net.Conn, error), o Options) (Outcome, string) {
	conn, err := dial()
	if err != nil {
		return Failed, "connect: " + err.Error()
	}
	p := newPeer(conn, server, o.Timeout)
	defer p.stop()
	// The whole case is bounded: a write that blocks ends here.
	defer time.AfterFunc(time.Duration(2+len(c.Send))*o.Timeout, func() { conn.Close() }).Stop()

	early := c.play(p, o.Pause)
	wanted := c.wanted()
	if c.End == clean {
		p.wait(len(wanted))
		p.write(frame(p.masks, 0x88, "\x03\xe8"), 0)
		p.saidBye = true
	}
	over := p.waitClose()
	if over && !p.saidBye && !c.closes() {
		p.write(frame(p.masks, 0x88, "\x03\xe8"), 0)
	}
	ended := true
	if over && server {
		ended = p.waitEnd(o.Timeout)
	} else if over {
		p.waitEnd(o.Pause) // a client waits for the server to end TCP, and says nothing more
	}
	got, fault := p.heard()
	return c.judge(got, fault, wanted, early, over, ended)
}

// peer is the suite's side of a connection.
type peer struct {
	conn    net.Conn
	masks   bool // we play the client
	timeout time.Duration
	saidBye bool

	mu     sync.Mutex    // guards what follows
	events []event       // in the order of arrival
	fault  error         // why reading ended; io.EOF when the peer ended it
	more   chan struct{} // closed and replaced at every change

	reading sync.WaitGroup
}

func newPeer(conn net.Conn, masks bool, timeout time.Duration) *peer {
	p := &peer{conn: conn, masks: masks, timeout: timeout, more: make(chan struct{})}
	p.reading.Go(func() { p.read() }) // ends when the connection does; stop waits
	return p
}

func (p *peer) stop() {
	p.conn.Close()
	p.reading.Wait()
}

func (p *peer) read() {
	r := newReader(p.conn, !p.masks)
	for {
		ev, err := r.next()
		p.mu.Lock()
		if err != nil {
			p.fault = err
		} else {
			p.events = append(p.events, ev)
		}
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// write sends b in writes of chop octets, or in one. An error is no news: the
// peer may have ended the connection, and the reader will know why.
func (p *peer) write(b []byte, chop int) {
	for len(b) > 0 {
		n := len(b)
		if chop > 0 {
			n = min(n, chop)
		}
		if _, err := p.conn.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// await waits until ready says so about what was heard, or until the time is
// over, or nothing more can come; it says whether ready was met.
func (p *peer) await(d time.Duration, ready func(events []event, fault error) bool) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		p.mu.Lock()
		ok, over, more := ready(p.events, p.fault), p.fault != nil, p.more
		p.mu.Unlock()
		if ok || over {
			return ok
		}
		select {
		case <-more:
		case <-timer.C:
			return false
		}
	}
}

func (p *peer) wait(n int) bool {
	return p.await(p.timeout, func(events []event, _ error) bool { return len(events) >= n || closing(events) })
}

// reacts says whether the peer closes or ends within d.
func (p *peer) reacts(d time.Duration) bool {
	return p.await(d, func(events []event, fault error) bool { return closing(events) || fault != nil })
}

func (p *peer) waitClose() bool {
	return p.await(p.timeout, func(events []event, _ error) bool { return closing(events) })
}

func (p *peer) waitEnd(d time.Duration) bool {
	return p.await(d, func(_ []event, fault error) bool { return fault != nil })
}

func (p *peer) heard() ([]event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events), p.fault
}

func closing(events []event) bool {
	return slices.ContainsFunc(events, func(ev event) bool { return ev.op == 8 })
}
