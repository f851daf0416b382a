package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"unicode"
)

// maxText is the longest text in a line of the log, in bytes.
const maxText = 512

// newLog returns a logger that writes text on a terminal and JSON elsewhere,
// unless format says which.
func newLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	if w == nil {
		return slog.New(slog.DiscardHandler)
	}
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: clean}
	if format == "text" || format != "json" && IsTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// IsTerminal reports whether somebody may be looking at what is written to w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0
}

// logLevel reads log.level.
func logLevel(s string) slog.Level {
	switch s {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// clean makes every text of a line harmless, whoever wrote it.
func clean(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String()) // and not nanoseconds
	case slog.KindString:
		a.Value = slog.StringValue(Escape(a.Value.String()))
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case error:
			a.Value = slog.StringValue(Escape(withoutQueries(v.Error())))
		case fmt.Stringer:
			a.Value = slog.StringValue(Escape(v.String()))
		}
	}
	return a
}

// Escape replaces what a terminal or a reader could take for something else by
// its number: control characters, line and paragraph separators, and characters
// that are invisible or turn the direction of text (Unicode categories Cc, Cf,
// Zl, Zp, and bytes that are no UTF-8). Longer than 512 bytes is cut.
func Escape(s string) string {
	long := len(s) > maxText
	if long {
		s = s[:maxText]
	}
	harmless := !long
	for i := 0; harmless && i < len(s); i++ {
		harmless = s[i] >= ' ' && s[i] < 0x7f
	}
	if harmless {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == unicode.ReplacementChar && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	if long {
		b.WriteString("…")
	}
	return b.String()
}

var query = regexp.MustCompile(`\?[^\s"'<>]+`)

// withoutQueries hides the query strings of URLs, which errors of other packages
// like to repeat.
func withoutQueries(s string) string {
	if !strings.Contains(s, "?") {
		return s
	}
	return query.ReplaceAllString(s, "?***")
}
