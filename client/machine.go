package client

import (
	"errors"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/seal"
)

// Times of the machine.
const (
	wakeJump   = 10 * time.Second // of a clock beyond what was expected: the machine slept
	wakeSpread = time.Second      // after a sleep, attempts are spread over this
	lookEvery  = 5 * time.Second  // at the clocks, while a connection is wanted
	drainFirst = 5 * time.Second  // the first wait after a restart is random within this
)

// maxStrikes is how many attempts in a row may end with somebody who is not the
// server that is pinned: about two minutes, with the default Backoff.
const maxStrikes = 10

// machine decides for a Client when to connect, to move and to stop. It knows no
// clock, no network and no randomness: whoever feeds it tells the time since the
// beginning, and draws. Every method returns what to do.
type machine struct {
	// Set once.
	backoff   Backoff
	hasSource bool
	draw      func() float64 // from 0 to 1

	state  State
	wanted bool // the application wants a connection
	closed bool // for good: Close was called

	gen     uint64 // of the last attempt: a late event of an older one is told by it
	trying  uint64 // the attempt in progress; 0 none
	void    bool   // its outcome is of no use any more …
	told    bool   // … and it was cancelled
	current uint64 // the open connection; 0 none
	opened  time.Duration

	retryAt   time.Duration // of the next attempt; 0 none
	notBefore time.Duration // the server's advice
	moveAt    time.Duration // when to open the connection that replaces current; 0 not
	moving    bool
	why       Why
	fails     int           // attempts since the last stable connection
	strikes   int           // … in a row that met another server than the one pinned
	rejected  bool          // the one retry at once after a rejection is spent
	failing   time.Duration // since when there is no stable connection
}

// do is what the machine asks for.
type do uint8

const (
	doConnect  do = iota + 1 // begin attempt gen, for why
	doCancel                 // cancel attempt gen
	doUse                    // send on connection gen from now on
	doRetire                 // end connection gen politely: another one took over
	doDrop                   // give connection gen up with 4903
	doDiscard                // end connection gen, which came too late
	doProbe                  // ask connection gen for a sign of life
	doShutdown               // end connection gen as the application asked
)

type effect struct {
	do  do
	gen uint64
	why Why
}

// verdict is what the end of a connection or attempt means.
type verdict struct {
	do    deny.Client   // never, reauth, later or next-use
	after time.Duration // at least, until the next attempt
	drain bool          // the server restarts: everybody comes back at once
	login bool          // there is no credential
	other bool          // who answered is not the server that is pinned, or may not be
	err   error
}

// judge reads an error of an attempt, or the end of a connection.
func judge(err error, retry func(*CloseError) bool) verdict {
	v := verdict{do: deny.Later, err: err}
	end, isEnd := errors.AsType[*CloseError](err)
	refused, isRefused := errors.AsType[*RefusedError](err)
	_, isSignIn := errors.AsType[signIn](err)
	v.other = notPinned(err) || isSignIn
	switch {
	case errors.Is(err, ErrUnauthenticated):
		v.do, v.login = deny.Never, true
	case isRefused && refused.Outside: // whatever it says
	case isRefused:
		v.do, v.after, v.drain = refused.client(), refused.RetryAfter, refused.Reason == deny.Drain
	case isEnd && end.Local: // given up by ourselves
		if fault := byCode[end.Text]; end.Code == CodeSeal && fault != 0 {
			v.do = fault.Client()
		}
	case isEnd:
		ours := false
		if v.do, ours = end.Client(); !ours {
			v.do = deny.Never
			if retry != nil && retry(end) || retry == nil && end.retry() {
				v.do = deny.Later
			}
		}
		v.after, v.drain = end.RetryAfter, end.Reason == deny.Drain || !ours && (end.Code == 1001 || end.Code == 1012)
	}
	return v
}

// notPinned reports whether an attempt failed because somebody answered who is not
// the server that is pinned, or not as it should be: that may be a place in
// between which one leaves, or a mistake that stays.
func notPinned(err error) bool {
	fault, ok := errors.AsType[*seal.Error](err)
	if _, nobody := errors.AsType[unjudged](err); !ok || nobody {
		return false
	}
	return fault.Fault == seal.FaultPin || fault.Fault == seal.FaultDocument || fault.Fault == seal.FaultUnsealed
}

func newMachine(b Backoff, hasSource bool, draw func() float64) *machine {
	return &machine{backoff: b, hasSource: hasSource, draw: draw, state: State{Status: Idle}}
}

// connect: the application asks for a connection. It ends a wait, but not what
// the server asked for.
func (m *machine) connect(now time.Duration) []effect {
	if m.closed {
		return nil
	}
	if !m.wanted {
		m.wanted, m.why, m.failing, m.fails, m.strikes, m.rejected = true, Connecting, now, 0, 0, false
	}
	if m.current == 0 && (m.trying == 0 || m.void) {
		m.retryAt = max(now, m.notBefore)
	}
	return m.look(now)
}

// use: the application sends. That is a wish for a connection only if none is
// being made: a busy program must not turn its waits into a storm.
func (m *machine) use(now time.Duration) []effect {
	if m.wanted && (m.current != 0 || m.trying != 0 || m.retryAt != 0) {
		return nil
	}
	return m.connect(now)
}

// reconnect: the application does not trust the connection.
func (m *machine) reconnect(now time.Duration) []effect {
	if m.closed {
		return nil
	}
	var drop []effect
	if m.current != 0 {
		drop = append(drop, effect{do: doDrop, gen: m.current})
		m.current, m.moveAt, m.moving = 0, 0, false
	}
	m.wanted, m.why, m.failing, m.fails = true, Reconnecting, now, 0
	if m.trying == 0 || m.void {
		m.retryAt = max(now, m.notBefore)
	}
	return append(drop, m.look(now)...)
}

// close: the application wants no connection, now and ever.
func (m *machine) close(now time.Duration) (effects []effect) {
	m.stop(verdict{})
	m.closed = true
	if m.current != 0 {
		effects = append(effects, effect{do: doShutdown, gen: m.current})
		m.current = 0
	}
	m.state = State{Status: Closed, Err: ErrClosed}
	return append(effects, m.look(now)...)
}

// succeeded: attempt gen has a connection.
func (m *machine) succeeded(now time.Duration, gen uint64) []effect {
	if gen != m.trying || m.void {
		m.settled(gen)
		return append([]effect{{do: doDiscard, gen: gen}}, m.look(now)...)
	}
	effects := []effect{{do: doUse, gen: gen}}
	if m.current != 0 {
		effects = append(effects, effect{do: doRetire, gen: m.current})
	}
	m.settled(gen)
	m.current, m.opened, m.strikes = gen, now, 0
	m.retryAt, m.notBefore, m.moveAt, m.moving, m.why = 0, 0, 0, false, Reconnecting
	return append(effects, m.look(now)...)
}

func (m *machine) settled(gen uint64) {
	if gen == m.trying {
		m.trying, m.void, m.told = 0, false, false
	}
}

// failed: attempt gen has none.
func (m *machine) failed(now time.Duration, gen uint64, v verdict) []effect {
	useless := gen != m.trying || m.void
	m.settled(gen)
	if !useless {
		v = m.strike(v)
	}
	switch {
	case useless || m.closed:
	case m.current != 0 && v.do != deny.Later: // the old connection is still good: let it end by itself
		m.moving, m.retryAt = false, 0
	default:
		m.plan(now, v)
	}
	return m.look(now)
}

// strike counts attempts that met another server than the one pinned. What only
// time or a journey could change is not tried without end.
func (m *machine) strike(v verdict) verdict {
	if !v.other {
		m.strikes = 0
		return v
	}
	if m.strikes++; m.strikes >= maxStrikes {
		m.strikes, v.do = 0, deny.Never
	}
	return v
}

// ended: connection gen is over.
func (m *machine) ended(now time.Duration, gen uint64, v verdict) []effect {
	if gen != m.current || m.closed {
		return nil
	}
	m.current, m.moveAt = 0, 0
	if now-m.opened >= m.backoff.Stable {
		m.fails, m.rejected, m.failing = 0, false, now
	}
	if busy := m.moving && (m.trying != 0 || m.retryAt != 0); !busy || v.do == deny.Never {
		m.plan(now, v)
	} else {
		m.state.Err = v.err
	}
	m.moving = false
	return m.look(now)
}

// plan decides about the next attempt.
func (m *machine) plan(now time.Duration, v verdict) {
	if v.do == deny.Reauth && !m.hasSource && m.rejected {
		v.do, v.login = deny.Never, true // nobody has another credential
	}
	m.state.Err = v.err
	switch v.do {
	case deny.Never:
		m.stop(v)
	case deny.NextUse:
		m.wanted, m.retryAt = false, 0
		m.state = State{Status: Idle, Err: v.err}
	case deny.Reauth:
		m.why = Rejected
		if !m.rejected {
			m.rejected, m.retryAt = true, max(now+v.after, 1)
			return
		}
		m.wait(now, v)
	default:
		m.wait(now, v)
	}
}

func (m *machine) wait(now time.Duration, v verdict) {
	wait := m.backoff.wait(m.fails, m.draw())
	if v.drain && m.fails == 0 {
		wait = time.Duration(m.draw() * float64(drainFirst))
	}
	m.fails++
	if m.why == Connecting && m.opened != 0 {
		m.why = Reconnecting
	}
	m.notBefore = 0
	if v.after > 0 {
		m.notBefore = now + v.after
	}
	m.retryAt = now + v.after + wait
}

// stop ends the matter until the application asks again.
func (m *machine) stop(v verdict) {
	m.wanted, m.retryAt, m.notBefore, m.moving, m.moveAt = false, 0, 0, false, 0
	m.void = m.trying != 0
	err := v.err
	if v.login && !errors.Is(err, ErrUnauthenticated) {
		err = errors.Join(ErrUnauthenticated, err)
	}
	m.state = State{Status: Ended, Err: err}
}

// drain: the server is about to stop connection gen.
func (m *machine) drain(now time.Duration, gen uint64, spread time.Duration) []effect {
	if gen != m.current || m.moving || m.moveAt != 0 {
		return nil
	}
	m.moveAt = max(now+time.Duration(m.draw()*float64(spread)), 1)
	return m.look(now)
}

// wake: a clock went further than it should have.
func (m *machine) wake(now, jump time.Duration) (effects []effect) {
	if m.notBefore != 0 {
		m.notBefore = max(m.notBefore-jump, now)
	}
	m.fails = 0
	soon := max(now+time.Duration(m.draw()*float64(wakeSpread)), 1)
	if m.trying != 0 && !m.void {
		m.void, m.retryAt = true, soon
	}
	if m.retryAt != 0 {
		m.retryAt = max(min(m.retryAt, soon), m.notBefore)
	}
	if m.current != 0 {
		effects = append(effects, effect{do: doProbe, gen: m.current})
	}
	return append(effects, m.look(now)...)
}

// look does what is due.
func (m *machine) look(now time.Duration) (effects []effect) {
	if m.moveAt != 0 && now >= m.moveAt && m.current != 0 {
		m.moveAt, m.moving, m.retryAt = 0, true, now
	}
	if m.current != 0 && !m.moving && now-m.opened >= m.backoff.Stable {
		m.fails, m.rejected = 0, false
	}
	if g := m.backoff.GiveUp; g > 0 && m.wanted && m.current == 0 && now-m.failing >= g {
		m.stop(verdict{err: errors.Join(errGivenUp, m.state.Err)})
	}
	if m.trying != 0 && m.void && !m.told {
		m.told = true
		effects = append(effects, effect{do: doCancel, gen: m.trying})
	}
	if m.wanted && m.trying == 0 && m.retryAt != 0 && now >= m.retryAt && (m.current == 0 || m.moving) {
		m.gen++
		m.trying, m.retryAt = m.gen, 0
		effects = append(effects, effect{do: doConnect, gen: m.gen, why: m.why})
	}
	m.tell()
	return effects
}

var errGivenUp = errors.New("client: no stable connection for the time of Backoff.GiveUp")

// tell brings the state up to date.
func (m *machine) tell() {
	switch {
	case m.closed:
	case m.current != 0:
		m.state = State{Status: Open}
	case m.trying != 0 && !m.void:
		m.state = State{Status: Opening, Err: m.state.Err}
	case m.wanted:
		m.state = State{Status: Waiting, Err: m.state.Err, until: m.retryAt}
	}
}

// next is when to look again; 0 when nothing is due by itself.
func (m *machine) next(now time.Duration) time.Duration {
	if !m.wanted {
		return 0
	}
	at := now + lookEvery // at the clocks
	for _, t := range [...]time.Duration{m.moveAt, m.retryAt} {
		if t != 0 && (t != m.retryAt || m.trying == 0) {
			at = min(at, t)
		}
	}
	if g := m.backoff.GiveUp; g > 0 && m.current == 0 {
		at = min(at, m.failing+g)
	}
	return max(at, now+time.Millisecond)
}
