package schema

import "testing"

// BenchmarkTypes measures what the first question about a type costs.
func BenchmarkTypes(b *testing.B) {
	for b.Loop() {
		if readTypes() == nil {
			b.Fatal("nothing")
		}
	}
}
