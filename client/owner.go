package client

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// owner is a connection as the owner of its link: what it does when bytes arrive.
// It keeps these methods out of Conn's public ones.
type owner struct{ *Conn }

var _ link.Owner = owner{}

// incoming is the message that is arriving. It is owned by the event in progress,
// but for goodbye.
type incoming struct {
	mark int    // its first byte; markNone before that came, or on a plain connection
	data []byte // without the mark

	goodbye atomic.Pointer[CloseError] // what we said; nil before
}

const markNone = -1

func (c owner) Ready() bool {
	if c.mayRead() {
		return true
	}
	c.held.Store(true)
	if c.mayRead() { // it was emptied before we held
		c.held.Store(false)
		return true
	}
	return false
}

// mayRead reports whether there is room for a message, or none can come yet.
func (c owner) mayRead() bool {
	select {
	case <-c.greeted:
		return c.deaf.Load() || c.inbox.room(c.Conn)
	default:
		return true
	}
}

func (c owner) Data(ev ws.Event) {
	c.Arrived(0, false) // before anybody asks how long it was silent
	if c.sealed != nil && !c.unseal(&ev) {
		return
	}
	if ev.First {
		c.in.mark, c.in.data = markNone, nil
	}
	if c.speaks && c.in.mark == markNone {
		if len(ev.Data) == 0 {
			if ev.Last {
				c.fault(errors.New("a message without its first byte"))
			}
			return
		}
		c.in.mark, ev.Data = int(ev.Data[0]), ev.Data[1:]
	}
	if err := c.judge(ev); err != nil {
		c.fault(err)
		return
	}
	c.in.data = append(c.in.data, ev.Data...)
	if ev.Last {
		whole := c.in.data
		c.in.data = nil
		c.message(Kind(ev.Op), whole)
	}
}

// judge looks at a message as soon as its first byte is known.
func (c owner) judge(ev ws.Event) error {
	size := len(c.in.data) + len(ev.Data)
	switch {
	case !c.speaks:
		return nil
	case c.in.mark == markApp && c.unheard():
		return errors.New("a message before the hello")
	case c.in.mark == markApp && int64(size) > c.plan.MaxMessage:
		return &ws.Error{Code: 1009, Why: "the message is larger than allowed"}
	case c.in.mark == markApp:
		return nil
	case c.in.mark != markCtl:
		return fmt.Errorf("a message that begins with the byte %#x", c.in.mark)
	case ev.Op != ws.Text:
		return errors.New("a control message that is binary")
	case size+1 > maxControl:
		return errors.New("a control message of more than 4 KiB")
	}
	return nil
}

func (c owner) unheard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello == nil
}

// message takes a whole one.
func (c owner) message(kind Kind, data []byte) {
	if c.in.mark == markCtl {
		if err := c.control(data); err != nil {
			c.fault(err)
		}
		return
	}
	c.mu.Lock()
	if c.pulse.longUntil != 0 {
		c.pulse.longUntil = 0
		c.watch()
	}
	c.mu.Unlock()
	if !c.deaf.Load() {
		c.inbox.put(Message{Kind: kind, Data: data})
	}
}

// fault ends the connection: the peer broke the protocol.
func (c owner) fault(err error) {
	if fault, ok := errors.AsType[*ws.Error](err); ok {
		c.finish(&CloseError{Code: fault.Code, Text: fault.Why, Local: true, Err: err})
		c.link.Close(fault.Code, fault.Why)
		return
	}
	c.finish(&CloseError{Code: CodeProtocol, Local: true, Err: err})
	c.link.Close(CodeProtocol, "local.protocol")
}

// control acts on a control message.
func (c owner) control(data []byte) error {
	message, err := parseControl(data)
	if err != nil {
		return err
	}
	c.mu.Lock()
	err = c.take(message)
	c.watch()
	c.mu.Unlock()
	c.notify()
	return err
}

// take is called with mu held.
func (c owner) take(message any) error {
	now := c.now()
	_, isClosing := message.(closing)
	hello, isHello := message.(Limits)
	switch {
	case c.hello == nil && !isHello && !isClosing:
		return errors.New("the first message is no hello")
	case c.hello != nil && isHello:
		return errors.New("a second hello")
	case isHello:
		c.begin(now, hello)
		return nil
	}
	switch m := message.(type) {
	case beat:
		return c.window.count(m.got)
	case renewed:
		if c.plan.hasSource() {
			c.renewal.told(now, m.expires, random())
		}
	case refused:
		do := deny.Never
		if r := byCode[m.code]; r != 0 {
			do = r.Client()
		}
		c.renewal.failed(now, do, random())
	case drain:
		c.advice = &m
	case long:
		c.pulse.longUntil = now + longWait
	case closing:
		c.announced = &m
		return c.window.count(m.got)
	}
	return nil
}

// begin takes the hello.
func (c owner) begin(now time.Duration, hello Limits) {
	c.hello = &hello
	c.pulse = newPulse(max(hello.Beat, time.Second))
	c.pace = newPace(hello)
	c.pace.messages.at, c.pace.bytes.at = now, now
	if c.plan.hasSource() {
		c.renewal.told(now, hello.Expires, random())
	}
	c.greet()
}

// Control counts for nothing: the link has answered.
func (c owner) Control(ws.Event) {}

// Arrived is a sign of life; under a seal, anybody can make one.
func (c owner) Arrived(int, bool) {
	if c.sealed == nil {
		c.heard.Store(int64(c.now()))
	}
}

// PeerClosed takes the server's goodbye. Under a seal that has come inside, or
// the connection was cut.
func (c owner) PeerClosed(code uint16, text string) {
	if c.sealed == nil {
		c.said(code, text)
		return
	}
	c.lost(closedOutside(code, text))
	c.link.Close(CodeSeal, string(seal.FaultTruncated))
}

// said answers the server's goodbye, or takes its answer to ours.
func (c owner) said(code uint16, text string) {
	c.mu.Lock()
	announced := c.announced
	c.mu.Unlock()
	if said := c.in.goodbye.Load(); said != nil && announced == nil {
		c.finish(said)
	}
	c.finish(closedBy(code, text, announced))
	c.link.Close(code, "")
}

// Failed ends the connection: the server broke a rule, or is gone.
func (c owner) Failed(err error) {
	if _, ok := errors.AsType[*ws.Error](err); ok {
		if c.sealed != nil { // whoever is between can break frames
			c.breach(&seal.Error{Fault: seal.FaultBroken, Cause: err})
			return
		}
		c.fault(err)
		return
	}
	if _, ok := errors.AsType[*seal.Error](err); ok { // of a record that could not be made
		c.breach(err)
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the socket ended without a close frame")
	}
	if c.sealed != nil {
		err = truncated(err)
	}
	c.lost(err)
	c.link.Reset()
}

// lost notes an end without a goodbye.
func (c owner) lost(err error) {
	c.mu.Lock()
	announced := c.announced
	c.mu.Unlock()
	if said := c.in.goodbye.Load(); said != nil && announced == nil {
		e := *said
		e.Err = err
		c.finish(&e)
	}
	e := closedBy(1006, "", announced)
	e.Err = err
	c.finish(e)
}

// Drained lets those go on who wait for room.
func (c owner) Drained() {
	c.mu.Lock()
	if c.probing {
		c.sayProbe()
	}
	c.mu.Unlock()
	c.notify()
}

// Released says that the socket is closed.
func (c owner) Released() {
	if c.sealed != nil {
		c.sealed.session.Erase()
	}
	close(c.released)
	c.notify()
}
