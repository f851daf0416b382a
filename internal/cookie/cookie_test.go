package cookie_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/cookie"
)

const name = "__Host-sp"

func TestSet_SR22(t *testing.T) {
	for _, tt := range []struct {
		name     string
		maxAge   time.Duration
		sameSite http.SameSite
		want     string
	}{
		{"SR-22 strict", time.Hour, http.SameSiteStrictMode, "; Max-Age=3600; Secure; HttpOnly; SameSite=Strict"},
		{"SR-22 strict by default", time.Hour, 0, "; Max-Age=3600; Secure; HttpOnly; SameSite=Strict"},
		{"SR-22 strict instead of none", time.Hour, http.SameSiteNoneMode, "; Max-Age=3600; Secure; HttpOnly; SameSite=Strict"},
		{"SR-22 lax if asked for", time.Hour, http.SameSiteLaxMode, "; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"},
		{"SR-22 until the browser ends", 0, 0, "; Secure; HttpOnly; SameSite=Strict"},
		{"SR-22 less than a second is a second", time.Millisecond, 0, "; Max-Age=1; Secure; HttpOnly; SameSite=Strict"},
		{"SR-22 not longer than browsers keep it", math.MaxInt64, 0, "; Max-Age=34560000; Secure; HttpOnly; SameSite=Strict"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			cookie.Set(w, name, "v1", tt.maxAge, tt.sameSite)
			want := name + "=v1; Path=/" + tt.want
			if got := w.Header()["Set-Cookie"]; !slices.Equal(got, []string{want}) {
				t.Errorf("got %q, want %q", got, want)
			}
			c := w.Result().Cookies()[0] // as another author reads it
			if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.Valid() != nil {
				t.Errorf("parsed %+v", c)
			}
		})
	}
}

func TestSetReplaces(t *testing.T) {
	w := httptest.NewRecorder()
	shared := []string{name + "=old; Path=/", "theme=dark"}
	w.Header()["Set-Cookie"] = shared
	cookie.Set(w, name, "new", 0, 0)
	got := w.Header()["Set-Cookie"]
	if len(got) != 2 || got[0] != "theme=dark" || !strings.HasPrefix(got[1], name+"=new; ") {
		t.Errorf("got %q", got)
	}
	if shared[0] != name+"=old; Path=/" {
		t.Error("a shared slice was written to")
	}
	cookie.Clear(w, name)
	want := name + "=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Strict"
	if got := w.Header()["Set-Cookie"]; len(got) != 2 || got[1] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSetRefuses_SR22(t *testing.T) {
	for _, tt := range []struct{ why, name, value string }{
		{"a name without the prefix", "sp", "v"},
		{"a prefix in other case", "__host-sp", "v"},
		{"a prefix alone", "__Host-", "v"},
		{"a name with a space", "__Host-s p", "v"},
		{"a name that adds a Domain", "__Host-sp; Domain=example.com", "v"},
		{"a long name", "__Host-" + strings.Repeat("a", 60), "v"},
		{"a value that adds a Domain", name, "v; Domain=example.com"},
		{"a value that ends the header", name, "v\r\nSet-Cookie: a=b"},
		{"a value in quotes", name, `"v"`},
		{"a value that browsers would drop", name, strings.Repeat("a", 4097-len(name))},
	} {
		t.Run("SR-22 "+tt.why, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Errorf("Set accepts %q=%.40q", tt.name, tt.value)
				}
			}()
			cookie.Set(httptest.NewRecorder(), tt.name, tt.value, 0, 0)
		})
	}
	if err := cookie.CheckName(name); err != nil {
		t.Error(err)
	}
}

func request(lines ...string) *http.Request {
	r := &http.Request{Header: http.Header{}}
	if len(lines) > 0 {
		r.Header["Cookie"] = lines
	}
	return r
}

// lookalikes are pairs that some parser takes for name, or for its base name.
var lookalikes = []struct{ why, pair string }{
	{"the same again", "__Host-sp=evil"},
	{"the same with the same value", "__Host-sp=v"},
	{"the name without its prefix", "sp=evil"},
	{"the name without its prefix, in capitals", "SP=evil"},
	{"the other prefix", "__Secure-sp=evil"},
	{"a new prefix", "__Http-sp=evil"},
	{"both new prefixes", "__Host-Http-sp=evil"},
	{"the prefix twice", "__Host-__Host-sp=evil"},
	{"lower case", "__host-sp=evil"},
	{"upper case", "__HOST-SP=evil"},
	{"a space before the sign", "__Host-sp =evil"},
	{"a tab before the name", "\t__Host-sp=evil"},
	{"two spaces before the name", "  __Host-sp=evil"},
	{"a vertical tab", "\v__Host-sp=evil"},
	{"a no-break space", "\u00a0__Host-sp=evil"},
	{"an en quad", "\u2000__Host-sp=evil"},
	{"a NUL inside", "__Host-\x00sp=evil"},
	{"quotes", `"__Host-sp"=evil`},
	{"no sign", "__Host-sp"},
	{"no sign and no prefix", "sp"},
	{"no name before the sign", "=__Host-sp=evil"},
	{"two signs before it", "==sp=evil"},
	{"white space as a name", " =__Host-sp=evil"},
}

func TestGet_SR25(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		value string
		want  error
	}{
		{"SR-25 alone", []string{"__Host-sp=v"}, "v", nil},
		{"SR-25 among others", []string{"a=b; __Host-sp=v; c=d"}, "v", nil},
		{"SR-25 without a space", []string{"a=b;__Host-sp=v;c=d"}, "v", nil},
		{"SR-25 on a second line", []string{"a=b", "__Host-sp=v"}, "v", nil},
		{"SR-25 with a sign in the value", []string{"__Host-sp=v=="}, "v==", nil},
		{"SR-25 beside another __Host- cookie", []string{"__Host-spx=1; __Host-sp=v; spx=2; xsp=3"}, "v", nil},
		{"SR-25 of the largest size", []string{name + "=" + strings.Repeat("a", 4096-len(name))}, strings.Repeat("a", 4096-len(name)), nil},
		{"SR-25 no cookies", nil, "", cookie.ErrNone},
		{"SR-25 an empty line", []string{""}, "", cookie.ErrNone},
		{"SR-25 others only", []string{"a=b; __Host-other=v"}, "", cookie.ErrNone},
		{"SR-25 the name in a value", []string{"a=__Host-sp=v"}, "", cookie.ErrNone},
		{"SR-25 empty", []string{"__Host-sp="}, "", cookie.ErrMalformed},
		{"SR-25 in quotes", []string{`__Host-sp="v"`}, "", cookie.ErrMalformed},
		{"SR-25 with a comma", []string{"__Host-sp=v,x"}, "", cookie.ErrMalformed},
		{"SR-25 with a space after it", []string{"__Host-sp=v ; a=b"}, "", cookie.ErrMalformed},
		{"SR-25 with a space before it", []string{"__Host-sp= v"}, "", cookie.ErrMalformed},
		{"SR-25 with bytes beyond ASCII", []string{"__Host-sp=v\xff"}, "", cookie.ErrMalformed},
		{"SR-25 a byte too long", []string{name + "=" + strings.Repeat("a", 4097-len(name))}, "", cookie.ErrMalformed},
		{"SR-25 in lines of 70 KB", []string{"__Host-sp=v", "a=" + strings.Repeat("b", 70_000)}, "", cookie.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) { wantCookie(t, request(tt.lines...), tt.value, tt.want) })
	}
	for _, tt := range lookalikes {
		t.Run("SR-25 AT-09 beside it, "+tt.why, func(t *testing.T) {
			wantCookie(t, request("__Host-sp=v;"+tt.pair), "", cookie.ErrAmbiguous)
			wantCookie(t, request(tt.pair+";__Host-sp=v"), "", cookie.ErrAmbiguous)
			wantCookie(t, request("__Host-sp=v", tt.pair), "", cookie.ErrAmbiguous)
		})
		t.Run("SR-25 AT-09 instead of it, "+tt.why, func(t *testing.T) {
			if strings.HasPrefix(tt.pair, name+"=") {
				t.Skip("that is the cookie itself")
			}
			wantCookie(t, request("a=b;"+tt.pair), "", cookie.ErrAmbiguous)
		})
	}
}

func wantCookie(t *testing.T, r *http.Request, value string, want error) {
	t.Helper()
	got, err := cookie.Get(r, name)
	if !errors.Is(err, want) || got != value {
		t.Errorf("Get of %.80q = %.40q, %v, want %.40q, %v", r.Header["Cookie"], got, err, value, want)
	}
}

func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		name       string
		lines, out []string
	}{
		{"the only one", []string{"__Host-sp=v"}, nil},
		{"the first", []string{"__Host-sp=v; a=b; c=d"}, []string{"a=b; c=d"}},
		{"one in the middle", []string{"a=b; __Host-sp=v; c=d"}, []string{"a=b; c=d"}},
		{"the last", []string{"a=b; __Host-sp=v"}, []string{"a=b"}},
		{"all of two names", []string{"__Host-sp=v; a=b; __Host-sp=w; __Host-t=x"}, []string{"a=b"}},
		{"with white space around the name", []string{"a=b;\t __Host-sp =v"}, []string{"a=b"}},
		{"without a value", []string{"a=b; __Host-sp"}, []string{"a=b"}},
		{"a line of its own", []string{"a=b", "__Host-sp=v"}, []string{"a=b"}},
		{"what is left of a line is nothing", []string{"__Host-sp=v; ;", "a=b"}, []string{"a=b"}},
		{"none: every byte stays", []string{" a=\"b;c\" ;;x = y; \xff", ""}, []string{" a=\"b;c\" ;;x = y; \xff", ""}},
		{"other bytes stay", []string{"a=\"b\" ;;__Host-sp=v;;x = y; \xff"}, []string{"a=\"b\" ;;;x = y; \xff"}},
		{"names that begin or end alike", []string{"__Host-spx=1; x__Host-sp=2; __host-sp=3; sp=4"}, []string{"__Host-spx=1; x__Host-sp=2; __host-sp=3; sp=4"}},
	} {
		t.Run("SR-25 "+tt.name, func(t *testing.T) {
			r := request(tt.lines...)
			before := slices.Clone(tt.lines)
			cookie.Remove(r.Header, name, "__Host-t")
			if got := r.Header["Cookie"]; !slices.Equal(got, tt.out) {
				t.Errorf("got %q, want %q", got, tt.out)
			}
			if _, present := r.Header["Cookie"]; present != (tt.out != nil) {
				t.Errorf("the header is there: %v", present)
			}
			if !slices.Equal(tt.lines, before) {
				t.Error("a shared slice was written to")
			}
		})
	}
	h := http.Header{}
	if cookie.Remove(h, name); len(h) != 0 {
		t.Errorf("%v appears from nothing", h)
	}
}

// FuzzGet: what Get returns is the only thing that another parser finds, and
// Remove leaves nothing of it and all of the rest.
func FuzzGet(f *testing.F) {
	f.Add("__Host-sp=v", "a=b")
	for _, tt := range lookalikes {
		f.Add("a=b; "+tt.pair, "__Host-sp=v")
		f.Add("a=b; __Host-sp=v;"+tt.pair+"; c=d", "")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		r := request(one, two)
		value, err := cookie.Get(r, name)
		if (err == nil) == (value == "") {
			t.Fatalf("Get = %q, %v", value, err)
		}
		if err == nil {
			found := r.CookiesNamed(name)
			if len(found) != 1 || found[0].Value != value || len(r.CookiesNamed("sp")) != 0 {
				t.Errorf("%q and %q: got %q, elsewhere %v", one, two, value, found)
			}
		}
		cookie.Remove(r.Header, name)
		if left := r.CookiesNamed(name); len(left) != 0 {
			t.Errorf("%q and %q: %v is left", one, two, left)
		}
		if _, after := cookie.Get(r, name); err == nil && !errors.Is(after, cookie.ErrNone) {
			t.Errorf("%q and %q: after Remove: %v", one, two, after)
		}
		once := slices.Clone(r.Header["Cookie"])
		if cookie.Remove(r.Header, name); !slices.Equal(once, r.Header["Cookie"]) {
			t.Errorf("%q and %q: a second Remove changes %q to %q", one, two, once, r.Header["Cookie"])
		}
	})
}
