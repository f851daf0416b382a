package conform

import (
	"fmt"
	"strings"
)

// Group 7: the closing handshake.
func closing7() []Case {
	closeWith := func(code int, reason string) Frames {
		return Frames{First: quit, Payload: string([]byte{byte(code >> 8), byte(code)}) + reason}
	}
	normal := closeWith(1000, "")
	big, bigM := filled(text, "*", 256*kib)
	list := []Case{
		{ID: "7.1.1", Title: "a message, then close", Send: []Frames{hello, normal}, Want: helloM, End: bye},
		{ID: "7.1.2", Title: "close twice", Send: []Frames{normal, normal}, End: bye},
		{ID: "7.1.3", Title: "close, then a ping", Send: []Frames{normal, {First: ping}}, End: bye},
		{ID: "7.1.4", Title: "close, then a message", Send: []Frames{normal, hello}, End: bye},
		{ID: "7.1.5", Title: "a fragment, close, the rest", Send: []Frames{{First: text, Payload: "fragment1"}, normal, {First: fin | cont, Payload: "fragment2"}}, End: bye},
		{ID: "7.1.6", Title: "a message of 256 KiB, close, a ping", Send: []Frames{big, normal, {First: ping}}, Want: []Message{bigM}, Less: true, End: bye},
		{ID: "7.3.1", Title: "close without payload", Send: []Frames{{First: quit}}, End: bye, Codes: []int{1005, 1000}},
		{ID: "7.3.2", Title: "close with one byte", Send: []Frames{{First: quit, Payload: "a"}}, End: fails},
		{ID: "7.3.3", Title: "close with a code", Send: []Frames{normal}, End: bye},
		{ID: "7.3.4", Title: "close with a code and a reason", Send: []Frames{closeWith(1000, "Hello World!")}, End: bye},
		{ID: "7.3.5", Title: "close with a reason of 123 bytes", Send: []Frames{closeWith(1000, strings.Repeat("*", 123))}, End: bye},
		{ID: "7.3.6", Title: "close with a reason of 124 bytes", Send: []Frames{closeWith(1000, strings.Repeat("*", 124))}, End: fails},
		{ID: "7.5.1", Title: "close with a reason that is not UTF-8", Send: []Frames{closeWith(1000, broken)}, End: fails, Codes: []int{1007}},
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		list = append(list, Case{ID: fmt.Sprintf("7.7.%d", i+1), Title: fmt.Sprintf("close with the valid code %d", code), Send: []Frames{closeWith(code, "")}, End: bye, Codes: []int{code, 1000}})
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		list = append(list, Case{ID: fmt.Sprintf("7.9.%d", i+1), Title: fmt.Sprintf("close with the invalid code %d", code), Send: []Frames{closeWith(code, "")}, End: fails})
	}
	for i, code := range []int{5000, 65535} {
		list = append(list, Case{ID: fmt.Sprintf("7.13.%d", i+1), Title: fmt.Sprintf("close with the undefined code %d", code), Send: []Frames{closeWith(code, "")}, End: either})
	}
	return list
}
