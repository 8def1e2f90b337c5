/** What the text of a rule is written to, piece by piece. */
export interface TextSink {
  /** Adds characters of ASCII that no {@link Word} is made of: addresses. */
  add(text: string): void;
  addWord(word: Word): void;
  /** Adds a whole number that is not negative, in decimal. */
  addNumber(value: number): void;
  /** Adds any text. */
  addAny(text: string): void;
}

/** A word of the language as text and as bytes: to read strings again and again takes longer than all else. */
export class Word {
  readonly text: string;
  readonly bytes: Uint8Array;

  /** @param text of ASCII. */
  constructor(text: string) {
    this.text = text;
    this.bytes = new TextEncoder().encode(text);
  }
}

/** Collects a string. */
export class StringSink implements TextSink {
  text = "";

  add(text: string): void {
    this.text += text;
  }

  addWord({ text }: Word): void {
    this.text += text;
  }

  addNumber(value: number): void {
    this.text += value;
  }

  addAny(text: string): void {
    this.text += text;
  }
}
