package main

import (
	"errors"
	"fmt"
	"os"

	"squall/imports/execution"
	"squall/imports/http"
	"squall/types"
)

var (
	startData types.Option[string]
	starts    int
)

// The hooks log that they ran only if the case is about them.

func setup() (string, error) {
	name, err := variable("CASE")
	if err != nil {
		return "", err
	}
	switch name {
	case "setup-err":
		return "", errors.New("the setup says no")
	case "lifecycle":
		write("lifecycle: setup")
	}
	return os.Getenv("SETUP_DATA"), nil
}

func onStart(data string) error {
	name, err := variable("CASE")
	if err != nil {
		return err
	}
	switch name {
	case "start-err":
		return errors.New("the start says no")
	case "lifecycle":
		if err := outcome(func() { same("the data", data, needed("SETUP_DATA")) }); err != nil {
			return err
		}
		write(fmt.Sprintf("lifecycle: start of VU %d", execution.VuId()))
		// What is done here lasts: the iterations look for the header.
		http.SetHeader("x-started", types.Some("yes"))
	}
	startData = types.Some(data)
	starts++
	return nil
}

func onStop() {
	if isLifecycle() {
		write(fmt.Sprintf("lifecycle: stop of VU %d", execution.VuId()))
	}
}

func teardown(data string) {
	if isLifecycle() {
		write("lifecycle: teardown with " + data)
	}
}

func iterateAfterStart() {
	same("the data", startData, types.Some(needed("SETUP_DATA")))
	same("the number of starts", starts, 1)
	response := http.Get("/echo", noParams)
	same("the header set at the start", echoed(response, "/headers/x-started"), "yes")
}

func isLifecycle() bool { return os.Getenv("CASE") == "lifecycle" }
