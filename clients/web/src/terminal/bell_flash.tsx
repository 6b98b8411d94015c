/** The bell, for eyes: the terminal's edge lights up. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { store } from "../state";
import type { Attachment } from "./attachment";
import "./bell_flash.css";

const FLASH_MS = 180;
/** A program that rings all the time must not flicker: three times in a second is what eyes are to be spared. */
const REST_MS = 500;

export function BellFlash({ attachment }: { attachment: Attachment }) {
  const lit = useSignal(false);
  const restsUntil = useRef(0);
  const bells = attachment.bells.value;
  const wanted = store.settings.value.bell === "flash";
  useEffect(() => {
    if (bells === 0 || !wanted || performance.now() < restsUntil.current) return;
    restsUntil.current = performance.now() + FLASH_MS + REST_MS;
    lit.value = true;
    setTimeout(() => (lit.value = false), FLASH_MS);
  }, [bells]);
  return lit.value ? <div class="bell-flash" aria-hidden="true" data-testid="bell-flash" /> : null;
}
