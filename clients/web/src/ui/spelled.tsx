/** Text that a program or a stranger chose, with what would not be seen in it spelled out. */

import { spelledOut } from "./hidden";
import "./spelled.css";

export function Spelled({ text }: { text: string }) {
  return <>{spelledOut(text).map((piece, at) => (piece.hidden ? <span key={at} class="spelled">{piece.text}</span> : piece.text))}</>;
}
