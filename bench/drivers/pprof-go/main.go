// The baseline of ingest: what a server in Go pays before it stores anything, gunzip and google/pprof's parse.
// argv: rounds, folder of .pb.gz files. Prints CPU nanoseconds per file, garbage collection included.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"bench/profile"
)

func cpuNanos() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func main() {
	rounds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	names, err := filepath.Glob(os.Args[2] + "/*.pb.gz")
	if err != nil || len(names) == 0 {
		panic("no files")
	}
	files := make([][]byte, len(names))
	for i, name := range names {
		if files[i], err = os.ReadFile(name); err != nil {
			panic(err)
		}
	}
	started := cpuNanos()
	for round := 0; round < rounds; round++ {
		for _, file := range files {
			if _, err := profile.ParseData(file); err != nil {
				panic(err)
			}
		}
	}
	fmt.Println((cpuNanos() - started) / int64(rounds*len(files)))
}
