// A map, a slice and blocks of 1 MiB. With cgo, which has the runtime map memory by libc.
package main

// #include <stdlib.h>
import "C"
import (
	"fmt"
	"sort"
)

type rec struct {
	k int
	s string
}

func main() {
	C.srand(1)
	m := map[int]*rec{}
	for i := 0; i < 1500000; i++ {
		m[i*7919%1000003+i] = &rec{i, fmt.Sprint("x", i)}
	}
	a := make([]int, 0)
	n := 0
	for k, r := range m {
		n += r.k%7 + len(r.s)
		a = append(a, k)
	}
	sort.Ints(a)
	big := make([][]byte, 100)
	for i := range big {
		big[i] = make([]byte, 1<<20)
		for j := range big[i] {
			big[i][j] = byte(i + j)
		}
	}
	x := 0
	for _, b := range big {
		x += int(b[77]) + int(b[99999])
	}
	fmt.Println(len(m), n, a[777], len(a), x)
}
