package conform

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Case is one case of the suite, as data: what is sent, what must come back,
// and how it must end.
type Case struct {
	ID    string // as in Autobahn: "6.4.2"
	Title string
	Send  []Frames
	Chop  int       // octets per write; 0: as much as there is; perFrame: a write each
	Want  []Message // what must come back, in order
	Less  bool      // failing before everything of Want was sent back is non-strict, not wrong
	End   End
	Codes []int // close codes that the endpoint may give; nil: what End implies
}

// perFrame as Chop writes each frame on its own.
const perFrame = -1

// Frames is a run of frames: one, or a message split, or both many times over.
type Frames struct {
	First   byte   // FIN, RSV and opcode of the first frame
	Payload string // of the message
	Repeat  int    // the payload is that many times Payload; 0 means once
	Split   int    // bytes per frame; 0: one frame
	Times   int    // round trips: wait for the echo after each; 0: no wait
	Pause   bool   // then watch the endpoint for a while: it may not fail yet
	Doomed  bool   // then wait for the endpoint: it must fail now to be strict
	Cuts    []int  // in one frame: pause after so many bytes of payload, doomed after so many
}

// Message is what an endpoint answers.
type Message struct {
	Op      byte // 1, 2 or 10
	Payload string
	Repeat  int
	Times   int
}

// End is how a case ends.
type End uint8

const (
	clean  End = iota // we close with 1000 when everything came back, and are answered so
	bye               // a close frame was among what we sent and is answered
	fails             // the endpoint fails the connection
	either            // as fails; but answering is non-strict and not wrong
)

// Largest is the size of the largest message of the case, in bytes.
func (c Case) Largest() (n int) {
	for _, f := range c.Send {
		n = max(n, len(f.Payload)*max(f.Repeat, 1))
	}
	return n
}

// closes says whether the case sends a close frame itself.
func (c Case) closes() bool {
	return slices.ContainsFunc(c.Send, func(f Frames) bool { return f.First&0x0f == 8 })
}

// failFast says whether strict is only who fails before the end of the input.
func (c Case) failFast() bool {
	return slices.ContainsFunc(c.Send, func(f Frames) bool { return f.Doomed || f.Cuts != nil })
}

// play sends everything. early says whether the endpoint failed no sooner and no
// later than at the bytes that doom it.
func (c Case) play(p *peer, pause time.Duration) (early bool) {
	var b []byte
	flush := func() {
		p.write(b, c.Chop)
		b = b[:0]
	}
	echoes := 0
	for _, f := range c.Send {
		payload := strings.Repeat(f.Payload, max(f.Repeat, 1))
		if f.Cuts != nil {
			whole := appendFrame(nil, p.masks, f.First, payload)
			first, second := len(whole)-len(payload)+f.Cuts[0], len(whole)-len(payload)+f.Cuts[1]
			p.write(whole[:first], c.Chop)
			if p.reacts(pause) {
				return false
			}
			p.write(whole[first:second], c.Chop)
			if early = p.reacts(min(p.timeout, 100*pause)); !early {
				p.write(whole[second:], c.Chop)
			}
			return early
		}
		for range max(f.Times, 1) {
			first, rest := f.First, payload
			for f.Split > 0 && len(rest) > f.Split {
				b = appendFrame(b, p.masks, first&0x7f, rest[:f.Split])
				first, rest = first&0x80, rest[f.Split:]
				if c.Chop == perFrame || len(b) >= 64<<10 {
					flush()
				}
			}
			b = appendFrame(b, p.masks, first, rest)
			if c.Chop == perFrame || len(b) >= 64<<10 {
				flush()
			}
			if f.Times > 0 {
				flush()
				if echoes++; !p.wait(echoes) {
					return early
				}
			}
		}
		switch {
		case f.Doomed:
			flush()
			if early = p.reacts(min(p.timeout, 100*pause)); early {
				return early
			}
		case f.Pause:
			flush()
			if p.reacts(pause) {
				return false // too soon
			}
		}
	}
	flush()
	return early
}

func (c Case) wanted() (list []Message) {
	for _, m := range c.Want {
		for range max(m.Times, 1) {
			list = append(list, m)
		}
	}
	return list
}

// is compares with at most 64 KiB of the payload built.
func (m Message) is(ev event) bool {
	times := max(m.Repeat, 1)
	if ev.op != m.Op || len(ev.data) != len(m.Payload)*times {
		return false
	}
	block := bytes.Repeat([]byte(m.Payload), min(times, 64<<10/max(len(m.Payload), 1)+1))
	for rest := ev.data; len(rest) > 0; {
		n := min(len(rest), len(block))
		if !bytes.Equal(rest[:n], block[:n]) {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// judge compares what was heard with what was wanted.
func (c Case) judge(got []event, fault error, wanted []Message, early, over, ended bool) (Outcome, string) {
	if _, broken := fault.(brokenRule); broken {
		return Failed, fault.Error()
	}
	code := 0
	if over {
		code, got = got[len(got)-1].code, got[:len(got)-1]
	}
	for i, ev := range got {
		if i >= len(wanted) {
			return Failed, fmt.Sprintf("an answer that nobody asked for: opcode %d with %d bytes", ev.op, len(ev.data))
		}
		if !wanted[i].is(ev) {
			return Failed, fmt.Sprintf("answer %d is another: opcode %d with %d bytes", i+1, ev.op, len(ev.data))
		}
	}
	outcome, why := Strict, ""
	worse := func(o Outcome, s string) {
		if o < outcome {
			outcome, why = o, s
		}
	}
	if len(got) < len(wanted) {
		o := Failed
		if c.Less {
			o = NonStrict
		}
		worse(o, fmt.Sprintf("%d of %d answers came", len(got), len(wanted)))
	}
	if !over {
		o := Failed
		if (c.End == fails || c.End == either) && fault != nil {
			o = NonStrict // dropped without a word
		}
		silence := "no close frame came"
		if fault != nil && fault != io.EOF {
			silence += ": " + fault.Error()
		}
		worse(o, silence)
		return outcome, why
	}
	if !slices.Contains(c.codes(), code) {
		o := Failed
		if c.End == either {
			o = NonStrict
		}
		worse(o, fmt.Sprintf("the close code is %d, want one of %v", code, c.codes()))
	}
	if c.failFast() && !early {
		worse(NonStrict, "it did not fail at the first byte that is wrong")
	}
	if !ended {
		worse(NonStrict, "the server did not end TCP after the closing handshake")
	}
	return outcome, why
}

func (c Case) codes() []int {
	switch {
	case c.Codes != nil:
		return c.Codes
	case c.End == fails || c.End == either:
		return []int{1002}
	}
	return []int{1000}
}
