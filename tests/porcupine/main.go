// Reads histories as testing/linearizability/json_lines.ts writes them, hands each to porcupine, and prints one
// verdict a line: Ok, Illegal or Unknown.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

type header struct {
	Model      string `json:"model"`
	Operations int    `json:"operations"`
}

type operation struct {
	Client int              `json:"client"`
	Call   int64            `json:"call"`
	Return *int64           `json:"return"`
	Input  input            `json:"input"`
	Output *json.RawMessage `json:"output"`
}

type input struct {
	Op       string          `json:"op"`
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value"`
	Expected json.RawMessage `json:"expected"`
}

// What was answered: JSON as text, or "" if nobody knows it. The writer writes equal values as equal text.
type output string

const unknown output = ""

func number(raw string) int64 {
	var value int64
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		panic(err)
	}
	return value
}

func text(raw string) string {
	var value string
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		panic(err)
	}
	return value
}

func quote(value string) string {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func answers(out output, expected string) bool {
	return out == unknown || string(out) == expected
}

// A register and a key of a store are the same thing. The state is JSON as text.
func stepValue(state string, in input, out output) (bool, string) {
	switch in.Op {
	case "read", "get":
		return answers(out, state), state
	case "write", "put":
		return true, string(in.Value)
	case "append":
		return true, quote(text(state) + text(string(in.Value)))
	case "cas":
		if state == string(in.Expected) {
			return answers(out, "true"), string(in.Value)
		}
		return answers(out, "false"), state
	}
	panic("unknown operation " + in.Op)
}

func stepCounter(state string, in input, out output) (bool, string) {
	if in.Op == "read" {
		return answers(out, state), state
	}
	total := fmt.Sprint(number(state) + number(string(in.Value)))
	return out == "null" || answers(out, total), total
}

func modelOf(name string) porcupine.Model {
	initial, step := "0", stepValue
	if name == "counter" {
		step = stepCounter
	} else if name == "keyValue" {
		initial = `""`
	} else if name != "register" {
		panic("unknown model " + name)
	}
	return porcupine.Model{
		Init: func() interface{} { return initial },
		Step: func(state, in, out interface{}) (bool, interface{}) {
			return step(state.(string), in.(input), out.(output))
		},
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := map[string][]porcupine.Operation{}
			for _, one := range history {
				key := one.Input.(input).Key
				parts[key] = append(parts[key], one)
			}
			all := [][]porcupine.Operation{}
			for _, part := range parts {
				all = append(all, part)
			}
			return all
		},
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<28)
	for lines.Scan() {
		var head header
		if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
			panic(err)
		}
		history := make([]porcupine.Operation, 0, head.Operations)
		for i := 0; i < head.Operations; i++ {
			if !lines.Scan() {
				panic("the input ends inside a history")
			}
			var one operation
			if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
				panic(err)
			}
			call := porcupine.Operation{ClientId: one.Client, Input: one.Input, Call: one.Call, Output: unknown, Return: math.MaxInt64}
			if one.Return != nil {
				call.Return = *one.Return
				call.Output = output("null") // A JSON null becomes a nil pointer.
				if one.Output != nil {
					call.Output = output(*one.Output)
				}
			}
			history = append(history, call)
		}
		fmt.Println(porcupine.CheckOperationsTimeout(modelOf(head.Model), history, 5*time.Second))
	}
}
