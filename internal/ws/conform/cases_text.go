package conform

import "fmt"

const (
	greeting = "Hello-µ@ßöäüàá-UTF-8!!"
	kosme    = "\u03ba\u1f79\u03c3\u03bc\u03b5"
	broken   = kosme + "\xed\xa0\x80edited" // a surrogate in the middle
)

// Groups 6.1 to 6.4: text in fragments, good and bad.
func utf8Handling() []Case {
	echo := func(s string) []Message { return []Message{{Op: text, Payload: s}} }
	bytewise := func(s string) (list []Frames) {
		for i := range len(s) {
			f := Frames{First: cont, Payload: s[i : i+1]}
			if i == 0 {
				f.First = text
			}
			if i == len(s)-1 {
				f.First |= fin
			}
			list = append(list, f)
		}
		return list
	}
	bad := func(c Case) Case {
		c.End, c.Codes = fails, []int{1007}
		return c
	}
	// 6.4: what comes first is fine, what comes second makes the message
	// hopeless, with its first bytes or with all of them, what comes third hides it.
	const above = "\xf4\x90\x80\x80" // U+110000: hopeless at its second byte
	inFrames := func(second, third string) []Frames {
		return []Frames{{First: text, Payload: kosme, Pause: true}, {First: cont, Payload: second, Doomed: true}, {First: fin | cont, Payload: third}}
	}
	list := []Case{
		{ID: "6.1.1", Title: "empty text", Send: []Frames{{First: fin | text}}, Want: echo("")},
		{ID: "6.1.2", Title: "text in three empty fragments", Send: []Frames{{First: text}, {First: cont}, {First: fin | cont}}, Want: echo("")},
		{ID: "6.1.3", Title: "text in three fragments, the first and the last empty", Send: []Frames{{First: text}, {First: cont, Payload: "middle frame payload"}, {First: fin | cont}},
			Want: echo("middle frame payload")},
		{ID: "6.2.1", Title: "text beyond ASCII", Send: []Frames{{First: fin | text, Payload: greeting}}, Want: echo(greeting)},
		{ID: "6.2.2", Title: "text in two fragments, cut between characters", Send: []Frames{{First: text, Payload: "Hello-µ@ßöä"}, {First: fin | cont, Payload: "üàá-UTF-8!!"}}, Want: echo(greeting)},
		{ID: "6.2.3", Title: "text in fragments of one octet", Send: bytewise(greeting), Want: echo(greeting)},
		{ID: "6.2.4", Title: "Greek in fragments of one octet", Send: bytewise(kosme), Want: echo(kosme)},
		bad(Case{ID: "6.3.1", Title: "text with a surrogate", Send: []Frames{{First: fin | text, Payload: broken}}}),
		bad(Case{ID: "6.3.2", Title: "text with a surrogate, in fragments of one octet", Send: bytewise(broken)}),
		bad(Case{ID: "6.4.1", Title: "fail at the frame with a character above U+10FFFF", Send: inFrames(above, "edited")}),
		bad(Case{ID: "6.4.2", Title: "fail at the frame with the hopeless half of a character", Send: inFrames(above[:2], above[2:]+"edited")}),
	}
	for i, cut := range []int{4, 2} {
		list = append(list, bad(Case{ID: fmt.Sprintf("6.4.%d", 3+i), Title: "the same in one frame: fail at the octets that make it hopeless",
			Send: []Frames{{First: fin | text, Payload: kosme + above + "edited", Cuts: []int{len(kosme), len(kosme) + cut}}}}))
	}
	return list
}

// Groups 6.5 to 6.23: byte sequences after Markus Kuhn's stress test.
func utf8Sequences() (list []Case) {
	id := 5
	group := func(title string, valid func(i int) bool, sequences ...string) {
		for i, s := range sequences {
			c := Case{ID: fmt.Sprintf("6.%d.%d", id, i+1), Title: fmt.Sprintf("%s: % x", title, s), Send: []Frames{{First: fin | text, Payload: s}}}
			if len(s) > 40 {
				c.Title = fmt.Sprintf("%s: % x…", title, s[:40])
			}
			if valid(i) {
				c.Want = []Message{{Op: text, Payload: s}}
			} else {
				c.End, c.Codes = fails, []int{1007}
			}
			list = append(list, c)
		}
		id++
	}
	yes, no := func(int) bool { return true }, func(int) bool { return false }
	ends := map[int]bool{2: true, 5: true, 7: true, 9: true, 11: true} // of the characters of kosme
	var prefixes []string
	for i := range len(kosme) {
		prefixes = append(prefixes, kosme[:i+1])
	}
	run := func(from, to int, after string) (s string) {
		for c := from; c <= to; c++ {
			s += string([]byte{byte(c)}) + after
		}
		return s
	}
	incomplete := []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80", "\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}
	together := ""
	for _, s := range incomplete {
		together += s
	}
	var noncharacters []string
	for plane := range 17 {
		noncharacters = append(noncharacters, string(rune(plane<<16|0xfffe)), string(rune(plane<<16|0xffff)))
	}
	group("valid", yes, kosme, "hello$world", "hello¢world", "hello€world", "hello𤭢world")
	group("prefix of a text", func(i int) bool { return ends[i+1] }, prefixes...)
	group("first of its length", yes, "\x00", "\u0080", "\u0800", "\U00010000")
	group("first of five and six bytes", no, "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80")
	group("last of its length", yes, "\x7f", "\u07ff", "\uffff", "\U0010ffff")
	group("last of four, five and six bytes", no, "\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf")
	group("border", func(i int) bool { return i < 4 }, "\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\xf4\x90\x80\x80")
	group("unexpected continuation", no, "\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", run(0x80, 0xbf, ""))
	group("lonely start", no, run(0xc0, 0xdf, " "), run(0xe0, 0xef, " "), run(0xf0, 0xf7, " "), run(0xf8, 0xfb, " "), run(0xfc, 0xfd, " "))
	group("last byte missing", no, incomplete...)
	group("incomplete sequences together", no, together)
	group("impossible byte", no, "\xfe", "\xff", "\xfe\xfe\xff\xff")
	group("overlong slash", no, "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf")
	group("longest overlong", no, "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf")
	group("overlong NUL", no, "\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80")
	group("surrogate", no, "\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf")
	group("pair of surrogates", no, "\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
		"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf")
	group("noncharacter", yes, noncharacters...)
	group("special", yes, "\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff")
	return list
}
