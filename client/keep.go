package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// random is a number from 0 to 1, 1 excluded. It spreads clients over time and
// keeps no secret; the generator is that of the system because there is no other
// in this module.
func random() float64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}

// watch does what is due for the life of the connection and sets the one timer
// for what comes next. It is called with mu held.
func (c *Conn) watch() {
	if c.ended.Load() != nil {
		return
	}
	now := c.now()
	if c.due != 0 && now > c.due+wakeJump { // the program slept: the silence was ours
		c.ask(now)
	}
	if why, ok := c.renewal.due(now); ok {
		c.helpers.Go(func() { c.renew(why) })
	}
	dead, ping, at := c.pulse.next(now, c.signs())
	if ping {
		c.link.Ping()
	}
	if dead {
		at = now + time.Minute // nobody waits for it
		c.helpers.Go(func() { c.giveUp(CodeSilent, "local.silent") })
	}
	if next := c.renewal.next(); next > 0 {
		at = min(at, next)
	}
	c.due = at
	wait := max(at-now, time.Millisecond)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.watch()
		})
		return
	}
	c.timer.Reset(wait)
}

func (c *Conn) signs() signs {
	_, sent := c.link.Bytes()
	return signs{heard: time.Duration(c.heard.Load()), sent: sent, held: c.held.Load() || c.link.Above() && c.pulse.probed == 0}
}

// Probe asks the server for a sign of life, such as after a sleep or a change of
// network: if none comes within 3 s, the connection is given up with
// [CodeSilent]. It returns at once.
func (c *Conn) Probe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(c.now())
	c.watch()
}

// ask is called with mu held.
func (c *Conn) ask(now time.Duration) {
	if c.hello == nil || !c.pulse.probe(now, c.signs()) {
		return
	}
	if c.speaks {
		c.sayProbe()
	} else {
		c.link.Ping()
	}
	c.renewal.hurry(now + probeWait) // nobody knows how much of its life is left
}

// renew presents a fresh credential over the connection.
func (c *Conn) renew(why Why) {
	ctx, cancel := context.WithTimeout(c.ctx, renewWait)
	defer cancel()
	cred, err := c.plan.credential(ctx, why)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		message := map[string]string{"t": "renew"}
		if cred.ticket != "" {
			message["ticket"] = cred.ticket
		} else {
			message["token"] = cred.token
		}
		if err = c.link.SendFrames(controlFrame(message)); err == nil {
			c.pace.charge()
			return // the answer, or the lack of one, ends it
		}
	}
	do := deny.Later
	if errors.Is(err, ErrUnauthenticated) {
		do = deny.Never
	}
	c.renewal.failed(c.now(), do, random())
	c.watch()
}
