package sallyport

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/strictjson"
	"github.com/sallyport/sallyport/internal/ws"
)

// The control channel sallyport.v1, as spec/protocol.md says: it begins every
// message with a byte that tells the application's from ours.
const (
	markNone = iota - 1 // not known yet: the message has no byte so far
	markApp
	markControl
)

// maxControlIn is the longest control message of a client, in bytes.
const maxControlIn = 16 << 10

var controlMarks = &link.Marks{App: []byte{markApp}, Long: controlFrame(map[string]any{"t": "long"})}

// control is a connection's state of the channel.
type control struct {
	renewing atomic.Bool  // a renewal waits for its answer
	handed   atomic.Int64 // messages that the route was given

	// Owned by the event in progress.
	mark  int   // of the message in progress
	begun bool  // some of it was passed on
	size  int64 // of it, in bytes, without the mark
}

// unwrap takes the mark off a part of a message and reports whether what is left
// is the application's.
func (c owner) unwrap(ev *ws.Event) bool {
	k := c.control
	if ev.First {
		k.mark, k.begun, k.size = markNone, false, 0
	}
	if k.mark == markNone {
		if len(ev.Data) == 0 {
			if ev.Last {
				c.malformed(errors.New("a message without its first byte"))
			}
			return false
		}
		k.mark, ev.Data = int(ev.Data[0]), ev.Data[1:]
	}
	k.size += int64(len(ev.Data))
	switch {
	case k.mark == markApp && k.size > c.life.Config().MaxMessage:
		c.End(deny.GuardTooBig, nil)
		return false
	case k.mark == markApp:
		return k.pass(ev)
	case k.mark != markControl:
		c.malformed(fmt.Errorf("a message that begins with the byte %#x", k.mark))
	case ev.Op != ws.Text:
		c.malformed(errors.New("a control message that is binary"))
	case k.size > maxControlIn:
		c.malformed(errors.New("a control message of more than 16 KiB"))
	case k.pass(ev):
		c.gather(*ev)
	}
	return false
}

// pass reports whether something is left of ev, which then is the first of its
// message unless another was passed: the mark may come alone.
func (k *control) pass(ev *ws.Event) bool {
	if len(ev.Data) == 0 && !ev.Last {
		return false
	}
	ev.First, k.begun = !k.begun, true
	return true
}

func (c owner) malformed(cause error) { c.End(deny.ControlMalformed, cause) }

// gather acts on a control message once it is whole.
func (c owner) gather(ev ws.Event) {
	whole := 0
	if ev.Last {
		whole = 1
	}
	if c.sealed == nil && !c.spend(whole, len(ev.Data)) {
		return
	}
	if ev.First && ev.Last {
		c.command(ev.Data)
		return
	}
	if c.collect(ev) && ev.Last {
		c.command(c.partial)
		clear(c.partial) // it may have held a credential
		c.dropPartial()
	}
}

// command is what a client may say to the door.
type command struct {
	T      string `json:"t"`
	Ticket string `json:"ticket"`
	Token  string `json:"token"`
}

func (c owner) command(data []byte) {
	cmd, err := parseCommand(data)
	if err != nil {
		c.malformed(err)
		return
	}
	switch cmd.T {
	case "probe":
		c.beat()
	case "renew":
		c.renewInBand(cmd)
	}
}

// parseCommand reads a control message of a client. Types that it does not know
// have nothing but their name.
func parseCommand(data []byte) (command, error) {
	members, err := strictjson.Object(data)
	if err != nil {
		return command{}, err
	}
	cmd := command{}
	if cmd.T, err = text(members, "t"); err != nil || cmd.T != "renew" {
		return command{T: cmd.T}, err
	}
	_, ticket := members["ticket"]
	_, token := members["token"]
	switch {
	case ticket == token:
		return command{}, errors.New("renew wants a ticket or a token")
	case ticket:
		cmd.Ticket, err = credential(members, "ticket")
	default:
		cmd.Token, err = credential(members, "token")
	}
	return cmd, err
}

func text(members map[string]json.RawMessage, name string) (string, error) {
	var s *string
	if err := json.Unmarshal(members[name], &s); err != nil || s == nil {
		return "", fmt.Errorf("%s is not a string", name)
	}
	return *s, nil
}

// credential reads a string that can stand in a header.
func credential(members map[string]json.RawMessage, name string) (string, error) {
	s, err := text(members, name)
	if err != nil {
		return "", err
	}
	if !visible(s) {
		return "", fmt.Errorf("%s has a character that it may not have", name)
	}
	if s == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return s, nil
}

// got is how many messages of the client were handed on.
func (c *Conn) got() int64 {
	defer c.survive()
	if t, ok := c.sink.(Taker); ok {
		return t.Taken()
	}
	return c.control.handed.Load()
}

// say queues a control message, if the client speaks the channel and reads.
func (c *Conn) say(message map[string]any) {
	l := c.live()
	if l == nil || c.control == nil {
		return
	}
	if l.Insert(controlFrame(message)) == nil {
		c.life.Said()
	}
}

// beat is a sign of life. A client that has more than enough to read needs none,
// and none that something already waits for within a long message.
func (c *Conn) beat() {
	if l := c.live(); l != nil && !l.Above() && !l.Inserted() {
		c.say(map[string]any{"t": "beat", "got": c.got()})
	}
}

func (c *Conn) hello() map[string]any {
	limits := c.life.Config()
	m := c.renewed()
	m["t"], m["id"] = "hello", c.id
	m["beat"], m["idle"] = inSeconds(limits.Ping), inSeconds(limits.Idle)
	m["ends_in"] = inSeconds(limits.MaxLife - time.Since(c.Began()))
	m["max_message"] = limits.MaxMessage
	m["messages_per_second"], m["bytes_per_second"] = limits.Messages, limits.Bytes
	if limits.IdleClient {
		m["idle_counts"] = "client"
	}
	return m
}

// renewed tells when the credential ends.
func (c *Conn) renewed() map[string]any {
	m := map[string]any{"t": "renewed"}
	if end := c.Identity().Expires; !end.IsZero() {
		m["expires_in"] = inSeconds(time.Until(end))
	}
	return m
}

func refused(r deny.Reason) map[string]any {
	return map[string]any{"t": "renew-refused", "code": r.Code()}
}

func closing(r deny.Reason, got int64) map[string]any {
	return map[string]any{"t": "close", "code": r.Code(), "got": got}
}

func draining(spread, deadline time.Duration) map[string]any {
	return map[string]any{"t": "drain", "spread": inSeconds(spread), "deadline": inSeconds(deadline)}
}

// inSeconds rounds down to milliseconds: a client must not think that it has more.
func inSeconds(d time.Duration) float64 {
	return math.Floor(max(0, d).Seconds()*1000) / 1000
}

// controlFrame is a control message as the door sends it.
func controlFrame(message map[string]any) []byte {
	return ws.AppendFrame(nil, ws.Server, true, ws.Text, controlMessage(message))
}

func controlMessage(message map[string]any) []byte {
	data, err := json.Marshal(message)
	if err != nil {
		panic("sallyport: " + err.Error()) // strings and numbers always can be written
	}
	return append([]byte{markControl}, data...)
}
