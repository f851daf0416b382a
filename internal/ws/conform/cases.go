package conform

import (
	"fmt"
	"strings"
)

// First bytes of legal frames.
const (
	fin  = 0x80
	cont = 0x00
	text = 0x01
	bin  = 0x02
	quit = 0x88
	ping = 0x89
	pong = 0x8a
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// Cases are all cases of the groups 1 to 7, 9 and 10, in their order.
func Cases() []Case {
	var list []Case
	for _, group := range []func() []Case{framing, pings, reserved, opcodes, fragments, utf8Handling, utf8Sequences, closing7, limits9, auto10} {
		list = append(list, group()...)
	}
	return list
}

// size writes a number of bytes as people do.
func size(n int) string {
	switch {
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= kib && n%kib == 0:
		return fmt.Sprintf("%d KiB", n/kib)
	}
	return fmt.Sprintf("%d bytes", n)
}

// kinds are the two kinds of messages, with a byte that the other may not hold.
var kinds = []struct {
	name string
	op   byte
	fill string
}{{"text", text, "*"}, {"binary", bin, "\xfe"}}

// filled is a message of n bytes and its echo.
func filled(op byte, fill string, n int) (Frames, Message) {
	if n == 0 {
		return Frames{First: fin | op}, Message{Op: op}
	}
	return Frames{First: fin | op, Payload: fill, Repeat: n}, Message{Op: op, Payload: fill, Repeat: n}
}

// Group 1: framing.
func framing() (list []Case) {
	for k, kind := range kinds {
		for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
			f, m := filled(kind.op, kind.fill, n)
			c := Case{ID: fmt.Sprintf("1.%d.%d", k+1, i+1), Title: kind.name + " message of " + size(n), Send: []Frames{f}, Want: []Message{m}}
			if i == 7 {
				c.Chop, c.Title = 997, c.Title+" in chops of 997"
			}
			list = append(list, c)
		}
	}
	return list
}

// Group 2: pings and pongs.
func pings() []Case {
	const noText = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	full := strings.Repeat("\xfe", 125)
	var ten []Frames
	var answers []Message
	for i := range 10 {
		payload := fmt.Sprintf("payload-%d", i)
		ten, answers = append(ten, Frames{First: ping, Payload: payload}), append(answers, Message{Op: 10, Payload: payload})
	}
	return []Case{
		{ID: "2.1", Title: "ping without payload", Send: []Frames{{First: ping}}, Want: []Message{{Op: 10}}},
		{ID: "2.2", Title: "ping with text", Send: []Frames{{First: ping, Payload: "Hello, world!"}}, Want: []Message{{Op: 10, Payload: "Hello, world!"}}},
		{ID: "2.3", Title: "ping with bytes that are no text", Send: []Frames{{First: ping, Payload: noText}}, Want: []Message{{Op: 10, Payload: noText}}},
		{ID: "2.4", Title: "ping of 125 bytes", Send: []Frames{{First: ping, Payload: full}}, Want: []Message{{Op: 10, Payload: full}}},
		{ID: "2.5", Title: "ping of 126 bytes", Send: []Frames{{First: ping, Payload: full + "\xfe"}}, End: fails},
		{ID: "2.6", Title: "ping of 125 bytes, octet by octet", Chop: 1, Send: []Frames{{First: ping, Payload: full}}, Want: []Message{{Op: 10, Payload: full}}},
		{ID: "2.7", Title: "unsolicited pong without payload", Send: []Frames{{First: pong}}},
		{ID: "2.8", Title: "unsolicited pong with payload", Send: []Frames{{First: pong, Payload: "unsolicited pong payload"}}},
		{ID: "2.9", Title: "unsolicited pong, then a ping", Send: []Frames{{First: pong, Payload: "unsolicited pong payload"}, {First: ping, Payload: "ping payload"}},
			Want: []Message{{Op: 10, Payload: "ping payload"}}},
		{ID: "2.10", Title: "ten pings", Send: ten, Want: answers},
		{ID: "2.11", Title: "ten pings, octet by octet", Chop: 1, Send: ten, Want: answers},
	}
}

var (
	hello  = Frames{First: fin | text, Payload: "Hello, world!"}
	helloM = []Message{{Op: text, Payload: "Hello, world!"}}
)

// Group 3: reserved bits.
func reserved() []Case {
	rsv := func(n byte, first byte) Frames { return Frames{First: first | n<<4, Payload: "Hello, world!"} }
	after := func(n byte, chop int, title string) Case {
		return Case{ID: fmt.Sprintf("3.%d", n), Title: fmt.Sprintf("text, text with RSV %d, ping%s", n, title), Chop: chop,
			Send: []Frames{hello, rsv(n, fin|text), {First: ping}}, Want: helloM, Less: true, End: fails}
	}
	return []Case{
		{ID: "3.1", Title: "text with RSV 1", Send: []Frames{rsv(1, fin|text)}, End: fails},
		after(2, 0, ""),
		after(3, perFrame, ", frame by frame"),
		after(4, 1, ", octet by octet"),
		{ID: "3.5", Title: "binary with RSV 5", Send: []Frames{rsv(5, fin|bin)}, End: fails},
		{ID: "3.6", Title: "ping with RSV 6", Send: []Frames{rsv(6, ping)}, End: fails},
		{ID: "3.7", Title: "close with RSV 7", Send: []Frames{{First: quit | 0x70, Payload: "\x03\xe8"}}, End: fails},
	}
}

// Group 4: reserved opcodes, of data (4.1) and of control frames (4.2).
func opcodes() (list []Case) {
	for g, first := range []byte{3, 11} {
		for i := range 5 {
			op := first + byte(i)
			bad := Frames{First: fin | op}
			c := Case{ID: fmt.Sprintf("4.%d.%d", g+1, i+1), Title: fmt.Sprintf("opcode %d", op), End: fails}
			if i%2 == 1 || i == 4 {
				bad.Payload, c.Title = "reserved opcode payload", c.Title+" with payload"
			}
			if c.Send = []Frames{bad}; i >= 2 {
				c.Send, c.Want, c.Less = []Frames{hello, bad, {First: ping}}, helloM, true
				c.Title = "text, " + c.Title + ", ping"
			}
			if i == 4 {
				c.Chop, c.Title = 1, c.Title+", octet by octet"
			}
			list = append(list, c)
		}
	}
	return list
}

// Group 5: fragmentation.
func fragments() (list []Case) {
	one, two := Frames{First: text, Payload: "fragment1"}, Frames{First: fin | cont, Payload: "fragment2"}
	open, lone := Frames{First: cont, Payload: "fragment2"}, two
	whole := []Message{{Op: text, Payload: "fragment1fragment2"}}
	pinged := append([]Message{{Op: 10, Payload: "ping payload"}}, whole...)
	put := func(c Case) { list = append(list, c) }
	put(Case{ID: "5.1", Title: "fragmented ping", Send: []Frames{{First: 0x09, Payload: "fragment1"}, two}, End: fails})
	put(Case{ID: "5.2", Title: "fragmented pong", Send: []Frames{{First: 0x0a, Payload: "fragment1"}, two}, End: fails})
	three := func(id int, c Case) { // at once, frame by frame, octet by octet
		for i, chop := range []int{0, perFrame, 1} {
			c := c
			c.ID, c.Chop = fmt.Sprintf("5.%d", id+i), chop
			c.Title += [...]string{"", ", frame by frame", ", octet by octet"}[i]
			put(c)
		}
	}
	three(3, Case{Title: "text in two fragments", Send: []Frames{one, two}, Want: whole})
	three(6, Case{Title: "text in two fragments with a ping between", Send: []Frames{one, {First: ping, Payload: "ping payload"}, two}, Want: pinged})
	three(9, Case{Title: "a last continuation of nothing, then text", Send: []Frames{lone, hello}, End: fails})
	three(12, Case{Title: "a continuation of nothing, then text", Send: []Frames{open, hello}, End: fails})
	put(Case{ID: "5.15", Title: "text in two fragments, a continuation of nothing, text", Send: []Frames{one, two, {First: cont, Payload: "fragment3"}, hello}, Want: whole, Less: true, End: fails})
	put(Case{ID: "5.16", Title: "twice: a continuation of nothing, then text in two fragments", Send: []Frames{open, one, two, open, one, two}, End: fails})
	put(Case{ID: "5.17", Title: "twice: a last continuation of nothing, then text in two fragments", Send: []Frames{lone, one, two, lone, one, two}, End: fails})
	put(Case{ID: "5.18", Title: "text in two fragments, both of opcode text", Send: []Frames{one, {First: fin | text, Payload: "fragment2"}}, End: fails})
	part := func(i int, first byte, pause bool) Frames {
		return Frames{First: first, Payload: fmt.Sprintf("fragment%d", i), Pause: pause}
	}
	for i, chop := range []int{0, 1} {
		put(Case{ID: fmt.Sprintf("5.%d", 19+i), Title: "text in five fragments with two pings between" + [...]string{"", ", octet by octet"}[i], Chop: chop,
			Send: []Frames{part(1, text, false), part(2, cont, false), {First: ping, Payload: "pongme 1!", Pause: true}, part(3, cont, false), part(4, cont, false),
				{First: ping, Payload: "pongme 2!"}, part(5, fin|cont, false)},
			Want: []Message{{Op: 10, Payload: "pongme 1!"}, {Op: 10, Payload: "pongme 2!"}, {Op: text, Payload: "fragment1fragment2fragment3fragment4fragment5"}}})
	}
	return list
}

// Group 9: sizes and fragments, and many round trips.
func limits9() (list []Case) {
	put := func(group, i int, title string, f Frames, m Message, chop int) {
		list = append(list, Case{ID: fmt.Sprintf("9.%d.%d", group, i+1), Title: title, Send: []Frames{f}, Want: []Message{m}, Chop: chop})
	}
	for k, kind := range kinds {
		for i, n := range []int{64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib} {
			f, m := filled(kind.op, kind.fill, n)
			put(1+k, i, kind.name+" message of "+size(n), f, m, 0)
		}
	}
	for k, kind := range kinds {
		for i, part := range []int{64, 256, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib} {
			f, m := filled(kind.op, kind.fill, 4*mib)
			f.Split = part
			put(3+k, i, kind.name+" message of 4 MiB in fragments of "+size(part), f, m, 0)
		}
	}
	for k, kind := range kinds {
		for i, chop := range []int{64, 128, 256, 512, kib, 2 * kib} {
			f, m := filled(kind.op, kind.fill, mib)
			put(5+k, i, kind.name+" message of 1 MiB in chops of "+size(chop), f, m, chop)
		}
	}
	for k, kind := range kinds {
		for i, n := range []int{0, 16, 64, 256, kib, 4 * kib} {
			f, m := filled(kind.op, kind.fill, n)
			f.Times, m.Times = 1000, 1000
			put(7+k, i, "1000 round trips of "+kind.name+" messages of "+size(n), f, m, 0)
		}
	}
	return list
}

// Group 10: automatic fragmentation.
func auto10() []Case {
	f, m := filled(text, "*", 65536)
	f.Split = 1300
	return []Case{{ID: "10.1.1", Title: "text message of 64 KiB in fragments of 1300 bytes", Send: []Frames{f}, Want: []Message{m}}}
}
