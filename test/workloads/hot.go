// A method that burns CPU until it is ended: hot SECONDS.
package main

import (
	"os"
	"strconv"
	"time"
)

type cart struct{ prices []uint64 }

//go:noinline
func (c *cart) total(turns int) uint64 {
	var sum uint64
	for turn := 0; turn < turns; turn++ {
		for _, price := range c.prices {
			sum = sum*31 + price
		}
	}
	return sum
}

func main() {
	seconds := 5.0
	if len(os.Args) > 1 {
		seconds, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	c := &cart{prices: make([]uint64, 1000)}
	var sum uint64
	for time.Now().Before(end) {
		sum += c.total(1000)
	}
	println(sum)
}
