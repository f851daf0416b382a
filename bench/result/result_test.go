package result

import (
	"reflect"
	"testing"
)

func TestValues(t *testing.T) {
	v := Values{4, 1, 3}
	if got := v.Median(); got != 3 {
		t.Errorf("median of three: got %v, want 3", got)
	}
	if got := append(v, 2).Median(); got != 2.5 {
		t.Errorf("median of four: got %v, want 2.5", got)
	}
	if least, most := v.Range(); least != 1 || most != 4 {
		t.Errorf("range: got %v to %v", least, most)
	}
	if got := v.Over(Values{2, 0, 6, 9}); !reflect.DeepEqual(got, Values{2, 0.5}) {
		t.Errorf("over: got %v", got)
	}
}

func TestSaveAndLoad(t *testing.T) {
	folder := t.TempDir()
	r := &Row{Name: "x", Rounds: 2, Versions: map[string]string{"a": "1"}, Absent: map[string]string{"b": "no \"[1, 2]\" here"}}
	r.Add("a", "case", "cpu", 1.5)
	r.Add("a", "case", "cpu", 2)
	r.Add("a", "case", "user", 1)
	if err := Save(folder, r); err != nil {
		t.Fatal(err)
	}
	got, err := Load(folder, "x")
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v, want %+v", got, err, r)
	}
	if none, err := Load(folder, "y"); none != nil || err != nil {
		t.Errorf("of nothing: got %v, %v", none, err)
	}
}
