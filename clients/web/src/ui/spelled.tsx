/** Text that a program or an agent chose, with what would not be seen in it written as its name. */

import { useMemo } from "preact/hooks";
import { pieces, type How } from "./plain_text";
import "./spelled.css";

export function Spelled({ text, how = "exact" }: { text: string; how?: How }) {
  const parts = useMemo(() => pieces(text, how), [text, how]);
  return (
    <bdi class="spelled" dir="ltr">
      {parts.map(({ text: part, named }, index) => (named ? <span key={index} class="named-char">{part}</span> : part))}
    </bdi>
  );
}
