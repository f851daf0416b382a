package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/sealkeys"
	"github.com/sallyport/sallyport/internal/state"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitConfig      = 3
	exitFindings    = 4
	exitUnreachable = 5
	exitRefused     = 6
)

// problem is an error with an exit code and a hint on what to do.
type problem struct {
	code int
	err  error
	hint string
	more string // lines between the error and the hint; usually none
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

func fail(code int, hint, format string, args ...any) error {
	return &problem{code: code, err: fmt.Errorf(format, args...), hint: hint}
}

var errNoCommand = errors.New("say what to do")

// usage is a mistake on the command line of cmd.
func usage(cmd *cobra.Command, err error) *problem {
	return &problem{code: exitUsage, err: err, hint: fmt.Sprintf("run %q", cmd.CommandPath()+" --help")}
}

// unknownFlag adds to err the flag that was probably meant.
func unknownFlag(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || unknown.GetSpecifiedShortnames() != "" || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if near := config.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w, did you mean --%s?", err, near)
	}
	return err
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errNoCommand
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf(", did you mean %q?", near[0])
	}
	return errors.New(text)
}

// report writes err as one line and a hint, and returns the exit code. A
// configuration's mistakes have lines of their own.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code, hint := judge(err)
	if c, ok := errors.AsType[*config.Error](err); ok {
		fmt.Fprintln(w, c.Error())
		return code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(w, "sallyport: "+app.Escape(line))
	}
	if p, ok := errors.AsType[*problem](err); ok && p.more != "" {
		fmt.Fprintln(w, p.more)
	}
	for line := range strings.Lines(hint) {
		fmt.Fprintln(w, "hint: "+strings.TrimSuffix(line, "\n"))
	}
	return code
}

// judge says with which code the program exits, and what could be done.
func judge(err error) (code int, hint string) {
	if p, ok := errors.AsType[*problem](err); ok {
		return p.code, p.hint
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return exitConfig, ""
	}
	if _, ok := errors.AsType[*app.Mistake](err); ok {
		return exitConfig, "the configuration in force is shown by \"sallyport config show\""
	}
	if e, ok := errors.AsType[*app.Interrupted](err); ok {
		if n, ok := e.Signal.(syscall.Signal); ok {
			return 128 + int(n), ""
		}
	}
	if p, ok := errors.AsType[*admin.Problem](err); ok {
		switch p.Status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest:
			return exitRefused, "give the token with --token file:/path or env:NAME"
		}
		return exitFailure, ""
	}
	switch {
	case errors.Is(err, admin.ErrUnreachable):
		return exitUnreachable, "is the server running, with this state directory? Name it by --state, -c or --admin"
	case errors.Is(err, state.ErrInUse):
		return exitFailure, "a server uses this state directory; stop it, or name another one by --state"
	case errors.Is(err, state.ErrCorrupt):
		return exitFailure, "restore a backup, or move the file away if it is acceptable that every revocation is forgotten"
	case errors.Is(err, state.ErrExposed):
		return exitFailure, "chmod 700 the directory and 600 the file"
	case errors.Is(err, sealkeys.ErrNone):
		return exitFailure, "make them by \"sallyport keys generate --authority app.example.com:443\", or name their place by --state or --dir"
	case errors.Is(err, sealkeys.ErrExposed):
		return exitFailure, "chmod 700 the folder and 600 its files; if others have read them, make new ones by \"sallyport keys rotate --drop-old\""
	case errors.Is(err, syscall.EADDRINUSE):
		if hint := busy(err); hint != "" {
			return exitFailure, hint
		}
		return exitFailure, "another process listens there; choose another address, or stop it"
	case errors.Is(err, syscall.EACCES):
		return exitFailure, "this account may not; ports below 1024 need CAP_NET_BIND_SERVICE"
	}
	return exitFailure, ""
}
