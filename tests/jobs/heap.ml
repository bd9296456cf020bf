(* A map and a list, both larger than the minor heap by far. *)
module M = Map.Make (Int)

let () =
  let m = ref M.empty in
  for i = 1 to 600000 do
    m := M.add ((i * 7919 mod 1000003) + i) (string_of_int i) !m
  done;
  let n = M.fold (fun k v s -> s + (k mod 7) + String.length v) !m 0 in
  let l = List.sort compare (List.init 2000000 (fun i -> i * 7919 mod 1000003)) in
  Printf.printf "%d %d %d %d\n" (M.cardinal !m) n (List.nth l 77777) (List.fold_left ( + ) 0 l)
