package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Logs the whole environment, which is what was granted.
func environment() {
	var names []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	write("environment: " + strings.Join(names, ","))
	write(fmt.Sprintf("arguments: %d", len(os.Args)))
	holds("it is the value that was granted", needed("GRANTED") == "a value = with, signs")
}

func printLines() {
	fmt.Println("print: to stdout")
	fmt.Fprintln(os.Stderr, "print: to stderr")
	fmt.Println("print: two\nprint: lines")
	fmt.Print("print: in ")
	fmt.Println("pieces")
	fmt.Print("print: without an end")
}
