/** What the text of a rule is written to, piece by piece. */
export interface TextSink {
  /** Adds characters of ASCII. */
  add(text: string): void;
  /** Adds a whole number that is not negative, in decimal. */
  addNumber(value: number): void;
  /** Adds any text. */
  addAny(text: string): void;
}

/** Collects a string. */
export class StringSink implements TextSink {
  text = "";

  add(text: string): void {
    this.text += text;
  }

  addNumber(value: number): void {
    this.text += value;
  }

  addAny(text: string): void {
    this.text += text;
  }
}
