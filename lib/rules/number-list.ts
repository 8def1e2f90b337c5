/** Many numbers in a row: a hundred thousand of them in an array would be garbage that takes long to collect. */
export class NumberList {
  #numbers = new Uint32Array(16);
  length = 0;

  push(number: number): void {
    this.#makeRoom(1);
    this.#numbers[this.length++] = number;
  }

  pushAll(list: NumberList): void {
    this.#makeRoom(list.length);
    this.#numbers.set(list.#numbers.subarray(0, list.length), this.length);
    this.length += list.length;
  }

  /** All of them, as long as there come no others. */
  get numbers(): Uint32Array {
    return this.#numbers.subarray(0, this.length);
  }

  /** Takes the last one away. */
  pop(): number | undefined {
    return this.length === 0 ? undefined : this.#numbers[--this.length];
  }

  /** Sets each of the numbers to 1, as far as there is a place for it. */
  mark(places: Uint8Array): void {
    for (let index = 0; index < this.length; index++) places[this.#numbers[index] as number] = 1;
  }

  #makeRoom(more: number): void {
    if (this.length + more <= this.#numbers.length) return;
    const numbers = new Uint32Array(Math.max(this.length + more, 2 * this.#numbers.length));
    numbers.set(this.#numbers);
    this.#numbers = numbers;
  }
}
